"""CPC on sound in float64: convolutions, channel norm, GRU by a loop, InfoNCE."""

import numpy as np


def convolved(x, kernel, bias, stride):
    """[B, T, C] by [k, C, D], ceil((k - stride) / 2) zeros on both sides."""
    size = len(kernel)
    pad = -(-(size - stride) // 2)
    x = np.pad(x, ((0, 0), (pad, pad), (0, 0)))
    starts = range(0, x.shape[1] - size + 1, stride)
    found = [np.einsum("bkc,kcd->bd", x[:, s : s + size], kernel) for s in starts]
    return np.stack(found, 1) + bias


def channel_norm(x, own):
    """Over the last axis, by the unbiased variance."""
    mean, var = x.mean(-1, keepdims=True), x.var(-1, ddof=1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * own["scale"] + own["bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, p):
    """States [B, t, H] of inputs [B, t, D], one step after the other."""
    h, states = np.zeros((len(x), p["hidden"]["kernel"].shape[0])), []
    for t in range(x.shape[1]):
        a = x[:, t] @ p["input"]["kernel"] + p["input"]["bias"]
        b = h @ p["hidden"]["kernel"] + p["hidden"]["bias"]
        (ar, az, an), (br, bz, bn) = np.split(a, 3, 1), np.split(b, 3, 1)
        r, z = sigmoid(ar + br), sigmoid(az + bz)
        h = (1 - z) * np.tanh(an + r * bn) + z * h
        states.append(h)
    return np.stack(states, 1)


def encoded(views, p, strides):
    """Codes [B, t, D] and contexts [B, t, H] of waves."""
    x = views[..., None]
    for i, stride in enumerate(strides):
        own = p[f"conv{i}"]
        x = convolved(x, own["kernel"], own["bias"], stride)
        x = np.maximum(channel_norm(x, p[f"norm{i}"]), 0)
    return x, gru(x, p["gru"])


def infonce(codes, contexts, kernel, horizons, places=None):
    """The loss by its definition, anchor by anchor and horizon by horizon."""
    (B, T, D), losses = codes.shape, []
    for k in range(1, horizons + 1):
        predictor = kernel[:, (k - 1) * D : k * D]
        for b in range(B):
            for t in range(T - horizons):
                guess = contexts[b, t] @ predictor
                if places is None:
                    scores = codes[:, t + k] @ guess
                    positive = scores[b]
                else:
                    drawn = codes.reshape(-1, D)[places[b, t]]
                    scores = np.append(drawn, codes[b, t + k][None], 0) @ guess / D
                    positive = scores[-1]
                high = scores.max()
                losses.append(high + np.log(np.exp(scores - high).sum()) - positive)
    return np.mean(losses)


def cpc_audio(p, held, state, views, drawn, *, strides, horizons):
    del held
    codes, contexts = encoded(views, p["encoder"], strides)
    kernel = p["predictor"]["dense0"]["kernel"]
    return infonce(codes, contexts, kernel, horizons, drawn), {"stats": state["stats"]}
