"""A bottleneck network of SimCLR v2 with selective kernels, in float64, at inference.

As google-research/simclr computes it (resnet.py, sk_conv2d and bottleneck_block), with
weights by our names: {"params": {...}, "batch_stats": {...}}.
"""

import numpy as np

from tests.references.conv import conv


def relu(x):
    return np.maximum(x, 0)


def pooled_same(x):
    """Largest of 3 x 3 cells, step 2, as TensorFlow pads an even side: behind alone."""
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    h, w = x.shape[1] // 2, x.shape[2] // 2
    cells = [
        padded[:, i : i + 2 * h : 2, j : j + 2 * w : 2] for i, j in np.ndindex(3, 3)
    ]
    return np.max(cells, axis=0)


def averaged(x, stride):
    """Means of 2 x 2 cells; behind the end zeros count with stride 2, else nothing."""
    ones = np.ones_like(x)
    sums, counts = (
        sum(
            np.pad(a, ((0, 0), (0, 1), (0, 1), (0, 0)))[
                :, i : i + a.shape[1] : stride, j : j + a.shape[2] : stride
            ]
            for i, j in np.ndindex(2, 2)
        )
        for a in (x, ones)
    )
    return sums / (4 if stride == 2 else counts)


def network(variables, x, stages, widths):
    """The grid of images x [B, H, W, 3]; `widths` are stages' inner channels."""

    def layer(tree, stats, x, name, stride=1, norm=True):
        kernel = tree[name.format("conv")]["kernel"]
        pad = kernel.shape[0] // 2
        x = conv(x, kernel, (stride, stride), ((pad, pad), (pad, pad)))
        if not norm:
            return x
        own, known = tree[name.format("norm")], stats[name.format("norm")]
        mean, var = (np.asarray(known[n], np.float64) for n in ("mean", "var"))
        return (x - mean) / np.sqrt(var + 1e-5) * own["scale"] + own["bias"]

    params, stats = variables["params"], variables["batch_stats"]
    x = relu(layer(params, stats, x, "stem0_{}", 2))
    x = relu(layer(params, stats, x, "stem1_{}"))
    x = pooled_same(relu(layer(params, stats, x, "stem_{}")))
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            name, c = f"stage{stage}_block{block}", widths[stage]
            tree, own = params[name], stats[name]
            short = x
            if not block:
                short = layer(tree, own, averaged(x, stride), "{}_shortcut")
            y = relu(layer(tree, own, x, "{}0"))
            y = relu(layer(tree, own, y, "{}1", stride))
            streams = np.stack(np.split(y, 2, axis=-1))
            means = streams.sum(0).mean((1, 2), keepdims=True)
            z = relu(layer(tree, own, means, "{}_squeeze"))
            scores = layer(tree, own, z, "{}_mix", norm=False)
            scores = np.exp(np.stack(np.split(scores, 2, axis=-1)))
            assert streams.shape[-1] == c
            y = (streams * scores / scores.sum(0)).sum(0)
            x = relu(short + layer(tree, own, y, "{}2"))
    return x
