"""A linear head of cells, trained in float64 as the papers write it; no jax."""

import numpy as np


def bilinear(cells: int, pixels: int) -> np.ndarray:
    """[pixels, cells]: what each pixel takes from each cell, borders repeated."""
    places = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    table = np.zeros((pixels, cells))
    for pixel, place in enumerate(np.clip(places, 0, cells - 1)):
        low = min(int(place), cells - 1)
        table[pixel, low] += 1 - (place - low)
        table[pixel, min(low + 1, cells - 1)] += place - low
    return table


def losses(
    grid: np.ndarray,
    mask: np.ndarray,
    kernel: np.ndarray,
    *,
    steps: int,
    warmup: int,
    rate: float,
    decay: float,
) -> list[float]:
    """Cross-entropy before each step on one picture.

    Args:
        grid: [h, w, D] features.
        mask: [H, W] classes, 255 for none.
        kernel: [D, K] at the beginning; biases are 0.
        steps: of AdamW, on a rate that rises linearly and falls linearly to 0.
        warmup: steps of the rise.
        rate: at its height.
        decay: of all parameters.
    """
    x = grid.reshape(-1, grid.shape[-1]).astype(np.float64)
    x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    up = np.kron(
        bilinear(grid.shape[0], mask.shape[0]), bilinear(grid.shape[1], mask.shape[1])
    )
    known = mask.ravel() != 255
    wanted = np.eye(kernel.shape[1])[np.where(known, mask.ravel(), 0)]
    D, K = kernel.shape
    own = [np.ones(D), np.zeros(D), kernel.astype(np.float64), np.zeros(K)]
    first, second = ([np.zeros_like(w) for w in own] for _ in range(2))
    found = []
    for step in range(steps):
        scale, offset, kernel, bias = own
        y = x * scale + offset
        scores = up @ (y @ kernel + bias)
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        logs = -np.log((shares * wanted).sum(1))
        found.append(logs[known].mean())
        error = up.T @ ((shares - wanted) * known[:, None] / known.sum())
        to_y = error @ kernel.T
        slopes = [(to_y * x).sum(0), to_y.sum(0), y.T @ error, error.sum(0)]
        now = rate * min(1, (step + 1) / warmup) * (1 - step / steps)
        for i, slope in enumerate(slopes):
            first[i] = 0.9 * first[i] + 0.1 * slope
            second[i] = 0.999 * second[i] + 0.001 * slope**2
            moved = first[i] / (1 - 0.9 ** (step + 1))
            moved /= np.sqrt(second[i] / (1 - 0.999 ** (step + 1))) + 1e-8
            own[i] = own[i] - now * (moved + decay * own[i])
    return found
