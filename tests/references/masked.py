"""MAE's target and loss with its gradient, and its whole network, in float64."""

import numpy as np

from tests.references import nn_layers as layers


def standardized(patches, epsilon=1e-6):
    """Each patch [P] less its mean, over the root of its unbiased variance."""
    patches = np.asarray(patches, np.float64)
    out = np.zeros_like(patches)
    for b, n in np.ndindex(patches.shape[:2]):
        values = patches[b, n]
        mean = values.sum() / len(values)
        variance = ((values - mean) ** 2).sum() / (len(values) - 1)
        out[b, n] = (values - mean) / np.sqrt(variance + epsilon)
    return out


def masked_mse(prediction, target, mask):
    """Mean over the masked patches of the mean square, and its gradient."""
    prediction, target = np.asarray(prediction, float), np.asarray(target, float)
    total, masked = 0.0, 0
    gradient = np.zeros_like(prediction)
    for b, n in np.ndindex(mask.shape):
        if mask[b, n]:
            difference = prediction[b, n] - target[b, n]
            total += (difference**2).sum() / len(difference)
            gradient[b, n] = 2 * difference / len(difference)
            masked += 1
    return total / masked, gradient / masked


def autoencoder(p, patches, keep, mask, positions, num_heads, encode):
    """Predictions of MAE's network, one image at a time.

    Args:
        p: params of "encoder" and "decoder" by part and leaf.
        patches: [B, N, P].
        keep: [B, K], of the visible patches.
        mask: [B, N], True where hidden.
        positions: those of the patches, of the encoder [N, D] and the decoder [N, W].
        num_heads: of the encoder and the decoder.
        encode: "visible" or "all".
    """
    encoder, decoder = p["encoder"], p["decoder"]
    found = []
    for b in range(len(patches)):
        x = patches[b] @ encoder["patch_embed"]["kernel"]
        x = x + encoder["patch_embed"]["bias"]
        if encode == "all":
            x[mask[b]] = encoder["mask_embed"][0]
            places = np.arange(len(x))
        else:
            places = keep[b]
        x = np.concatenate([encoder["class_token"], (x + positions[0])[places]])
        x = _normed(_blocks(x, encoder, num_heads[0]), encoder)
        x = x @ decoder["embed"]["kernel"] + decoder["embed"]["bias"]
        row = np.empty((1 + len(patches[b]), x.shape[1]))
        row[0] = x[0]
        if encode == "visible":
            row[1:] = decoder["mask_token"][0]
        row[1 + places] = x[1:]
        row[1:] += positions[1]
        row = _normed(_blocks(row, decoder, num_heads[1]), decoder)
        found.append(row[1:] @ decoder["pixels"]["kernel"] + decoder["pixels"]["bias"])
    return np.stack(found)


def _blocks(x, p, num_heads):
    for name in sorted(name for name in p if name.startswith("block")):
        leaves = {"/".join(path): leaf for path, leaf in _leaves(p[name])}
        x = layers.block(x[None], leaves, num_heads)[0]
    return x


def _normed(x, p):
    return layers.layer_norm(x, p["norm"]["scale"], p["norm"]["bias"])


def _leaves(tree, path=()):
    if not isinstance(tree, dict):
        yield path, tree
        return
    for name, below in tree.items():
        yield from _leaves(below, (*path, name))
