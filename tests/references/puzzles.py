"""Relative patches and jigsaw puzzles in float64, from the papers."""

import math

import numpy as np

from tests.references.methods import head

# By label: (rows down, columns to the right) from the first patch to the second.
WAYS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def cross_entropy(logits, wanted):
    """Mean over rows [n, K]."""
    high = logits.max(1, keepdims=True)
    total = high[:, 0] + np.log(np.exp(logits - high).sum(1))
    return np.mean(total - logits[np.arange(len(logits)), wanted])


def tile_features(views, p, stats):
    """[B, 9, ...] -> [B, 9, D] by dense layer, ReLU, dense layer, batch norm, ReLU."""
    flat = views.reshape(-1, math.prod(views.shape[2:]))
    x = flat @ p["encoder"]["dense"]["kernel"] + p["encoder"]["dense"]["bias"]
    kernel, own = p["projector"]["dense0"]["kernel"], p["projector"]["norm0"]
    x = np.maximum(x, 0) @ kernel
    mean, var = x.mean(0), x.var(0)
    old = stats["projector"]["batch_stats"]["norm0"]
    moved = {
        "mean": 0.9 * old["mean"] + 0.1 * mean,
        "var": 0.9 * old["var"] + 0.1 * var,
    }
    stats = {**stats, "projector": {"batch_stats": {"norm0": moved}}}
    x = (x - mean) / np.sqrt(var + 1e-5) * own["scale"] + own["bias"]
    return np.maximum(x, 0).reshape(*views.shape[:2], -1), stats


def relative_patch(p, held, state, views, drawn):
    features, stats = tile_features(views, p, state["stats"])
    pairs, wanted = [], []
    for image in features:
        grid = image.reshape(3, 3, -1)
        around = [(grid[1, 1], grid[1 + down, 1 + right]) for down, right in WAYS]
        pairs += around + [(second, first) for first, second in around]
        # The way back of (down, right) is (-down, -right).
        back = [WAYS.index((-down, -right)) for down, right in WAYS]
        wanted += [*range(8), *back]
    joined = np.stack([np.concatenate(pair) for pair in pairs])
    logits, stats = head("classifier", joined, p, stats)
    return cross_entropy(logits, np.array(wanted)), {"stats": stats}


def jigsaw(p, held, state, views, drawn):
    features, stats = tile_features(views, p, state["stats"])
    joined = np.stack(
        [
            np.concatenate([image[place] for place in state["permutations"][choice]])
            for image, choice in zip(features, drawn, strict=True)
        ]
    )
    logits, stats = head("classifier", joined, p, stats)
    found = {"stats": stats, "permutations": state["permutations"]}
    return cross_entropy(logits, drawn), found


def rotation(p, held, state, views, drawn):
    turns = np.stack([np.rot90(views, k, axes=(1, 2)) for k in range(4)], 1)
    flat = turns.reshape(4 * len(views), -1)
    x = flat @ p["encoder"]["dense"]["kernel"] + p["encoder"]["dense"]["bias"]
    logits, stats = head("classifier", np.maximum(x, 0), p, state["stats"])
    return cross_entropy(logits, np.tile(np.arange(4), len(views))), {"stats": stats}
