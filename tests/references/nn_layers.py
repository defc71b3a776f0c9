"""Float64 transcriptions of batch norm, layer norm, attention and the block."""

import math

import numpy as np


def batch_norm(x, scale, bias, groups=1, epsilon=1e-5):
    """Normalises runs of rows one by one; also the statistics of all rows.

    Returns:
        (y, mean, biased variance), the statistics over all rows and places.
    """
    x = np.asarray(x, np.float64)
    y = np.empty_like(x)
    rows = x.shape[0] // groups
    for g in range(groups):
        run = x[g * rows : (g + 1) * rows]
        for c in range(x.shape[-1]):
            values = run[..., c]
            y[g * rows : (g + 1) * rows, ..., c] = (values - values.mean()) / np.sqrt(
                values.var() + epsilon
            )
    flat = x.reshape(-1, x.shape[-1])
    return y * scale + bias, flat.mean(0), flat.var(0)


def layer_norm(x, scale, bias, epsilon=1e-6):
    """Normalises the last axis."""
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon) * scale + bias


def gelu(x):
    """The exact GELU, x Φ(x), with the error function."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attention(q, k, v):
    """softmax(q kᵀ / √d) v for [B, n, heads, d], one row and head at a time."""
    out = np.empty((*q.shape[:3], v.shape[-1]))
    for b in range(q.shape[0]):
        for h in range(q.shape[2]):
            for i in range(q.shape[1]):
                scores = k[b, :, h] @ q[b, i, h] / math.sqrt(q.shape[-1])
                weights = np.exp(scores - scores.max())
                out[b, i, h] = weights / weights.sum() @ v[b, :, h]
    return out


def block(x, p, num_heads):
    """Pre-norm block; `p` holds the leaves by their paths below the block."""
    batch, n, dim = x.shape
    y = layer_norm(x, p["norm0/scale"], p["norm0/bias"])
    qkv = y @ p["attention/qkv/kernel"] + p["attention/qkv/bias"]
    q, k, v = (
        part.reshape(batch, n, num_heads, dim // num_heads)
        for part in np.split(qkv, 3, axis=-1)
    )
    mixed = attention(q, k, v).reshape(batch, n, dim)
    x = x + mixed @ p["attention/out/kernel"] + p["attention/out/bias"]
    y = layer_norm(x, p["norm1/scale"], p["norm1/bias"])
    y = gelu(y @ p["feed_forward/dense0/kernel"] + p["feed_forward/dense0/bias"])
    return x + y @ p["feed_forward/dense1/kernel"] + p["feed_forward/dense1/bias"]


def mlp(x, p, last_norm):
    """Dense, batch norm and ReLU in turn; `p` holds the leaves by their paths."""
    x = np.asarray(x, np.float64)
    layers = sum(name.endswith("kernel") for name in p)
    for i in range(layers):
        x = x @ p[f"dense{i}/kernel"] + p.get(f"dense{i}/bias", 0)
        if i < layers - 1 or last_norm != "none":
            scale, bias = p.get(f"norm{i}/scale", 1), p.get(f"norm{i}/bias", 0)
            x = batch_norm(x, scale, bias)[0]
        if i < layers - 1:
            x = np.maximum(x, 0)
    return x
