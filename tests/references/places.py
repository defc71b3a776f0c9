"""CPC on patches and AMDIM in float64, from the papers, cell by cell."""

import numpy as np

# (rows down, columns to the right) of a step, and the quarter turns, counter-clockwise,
# after which it leads downwards.
WAYS = {"down": (1, 0, 0), "up": (-1, 0, 2), "right": (0, 1, 3), "left": (0, -1, 1)}


def cross_entropy(scores, places):
    """Of rows of scores [n, N] with the right place of each."""
    high = scores.max(1)
    total = np.log(np.exp(scores - high[:, None]).sum(1))
    return high + total - scores[np.arange(len(scores)), places]


def row_context(x, p):
    """Masked residual blocks on grids [B, h, w, D]."""
    for i in range(len(p) // 4):
        block = {part: p[f"block{i}_{part}"] for part in ("in", "row", "up", "out")}
        y = np.maximum(x @ block["in"]["kernel"][0, 0] + block["in"]["bias"], 0)
        wide = np.pad(y, ((0, 0), (0, 0), (1, 1), (0, 0)))
        w = y.shape[2]
        y = sum(wide[:, :, t : t + w] @ block["row"]["kernel"][0, t] for t in range(3))
        high = np.pad(y + block["row"]["bias"], ((0, 0), (1, 0), (0, 0), (0, 0)))
        h = y.shape[1]
        y = sum(high[:, t : t + h] @ block["up"]["kernel"][t, 0] for t in range(2))
        y = np.maximum(y + block["up"]["bias"], 0)
        x = x + y @ block["out"]["kernel"][0, 0] + block["out"]["bias"]
    return np.maximum(x, 0)


def cpc_vision(p, held, state, views, drawn, *, grid, horizons, directions):
    B = len(views)
    flat = views.reshape(B * grid * grid, -1)
    own, aim = p["encoder"]["encoder"]["dense"], p["target"]["dense0"]
    z = np.maximum(flat @ own["kernel"] + own["bias"], 0).reshape(B, grid, grid, -1)
    target = (z @ aim["kernel"] + aim["bias"]).reshape(B * grid * grid, -1)
    terms = []
    for d, way in enumerate(directions):
        down, right, turns = WAYS[way]
        seen = row_context(np.rot90(z, turns, (1, 2)), p["context"][f"context{d}"])
        seen = np.rot90(seen, -turns, (1, 2))
        for k, steps in enumerate(horizons):
            said = seen @ p["predictor"]["kernel"][d, k]
            losses = []
            for i, j in np.ndindex(grid, grid):
                to, at = i + steps * down, j + steps * right
                if 0 <= to < grid and 0 <= at < grid:
                    own = (np.arange(B) * grid + to) * grid + at
                    losses.append(cross_entropy(said[:, i, j] @ target.T, own))
            terms.append(np.mean(losses))
    return np.mean(terms), {"stats": state["stats"]}


def batch_norm(x, p, stats):
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    moved = {
        "mean": 0.9 * stats["mean"] + 0.1 * mean,
        "var": 0.9 * stats["var"] + 0.1 * var,
    }
    return (x - mean) / np.sqrt(var + 1e-5) * p["scale"] + p["bias"], moved


def place_head(x, p, stats):
    y = np.maximum(x @ p["dense0"]["kernel"], 0) @ p["dense1"]["kernel"]
    y = y + x @ p["shortcut"]["kernel"] + p["shortcut"]["bias"]
    y, moved = batch_norm(y, p["norm"], stats["batch_stats"]["norm"])
    return y.reshape(len(y), -1, y.shape[-1]), {"batch_stats": {"norm": moved}}


def cut(x, side):
    """Images [B, 6, 6, 1] as cells [B, 6 / side, 6 / side, side * side]."""
    n = 6 // side
    x = x.reshape(len(x), n, side, n, side).transpose(0, 1, 3, 2, 4)
    return x.reshape(len(x), n, n, side * side)


def places_nce(source, target, clip):
    """(loss, mean squared score) of [B, D] against [B, L, D], row by row."""
    B, L, D = target.shape
    losses, squares = [], []
    for i in range(B):
        raw = target @ source[i] / np.sqrt(D)  # [B, L]
        squares.append(np.square(raw))
        scores = clip * np.tanh(raw / clip)
        others = np.delete(scores, i, axis=0).reshape(-1)
        rows = np.concatenate([scores[i][:, None], np.tile(others, (L, 1))], axis=1)
        losses.append(cross_entropy(rows, 0))
    return np.mean(losses), np.mean(squares)


def amdim(p, held, state, views, drawn, *, clip, penalty):
    stats, seen = dict(state["stats"]), []
    for v in range(2):
        own = p["encoder"]
        levels = [
            np.maximum(cut(views[:, v], s) @ own[n]["kernel"] + own[n]["bias"], 0)
            for n, s in (("fine", 2), ("coarse", 3))
        ]
        mean = levels[0].mean((1, 2))
        whole = mean @ own["whole"]["kernel"] + own["whole"]["bias"]
        fine, stats["fine"] = place_head(levels[0], p["fine"], stats["fine"])
        coarse, stats["coarse"] = place_head(levels[1], p["coarse"], stats["coarse"])
        cell = coarse[np.arange(len(coarse)), drawn[:, v]]
        seen.append((whole, cell, fine, coarse))
    total = 0.0
    for here, there in (seen, seen[::-1]):
        whole, cell, _, _ = here
        _, _, fine, coarse = there
        for source, target in ((whole, fine), (whole, coarse), (cell, coarse)):
            loss, square = places_nce(source, target, clip)
            total += 0.5 * (loss + penalty * square)
    return total, {"stats": stats}
