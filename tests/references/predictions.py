"""Errors of depth, disparity and flow in float64 NumPy, pixel by pixel."""

import numpy as np


def resized(values, height, width):
    """Bilinear between pixel centres, the border repeated; of [h, w]."""
    for axis, side in enumerate((height, width)):
        pixels = values.shape[axis]
        at = (np.arange(side) + 0.5) * pixels / side - 0.5
        values = np.apply_along_axis(
            lambda line, at=at: np.interp(at, np.arange(len(line)), line), axis, values
        )
    return values


def depth_errors(found, true, crop, lowest, highest, scaling):
    """The seven errors of one picture, and the factor that it was scaled by."""
    height, width = true.shape
    found = 1 / resized(1 / np.float64(found), height, width)
    top, bottom, left, right = crop
    mask = np.zeros(true.shape, bool)
    rows = slice(int(top * height), int(bottom * height))
    mask[rows, int(left * width) : int(right * width)] = True
    mask &= (true > lowest) & (true < highest)
    found, true = found[mask], np.float64(true[mask])
    factor = np.median(true) / np.median(found) if scaling == "median" else scaling
    found = np.clip(found * factor, lowest, highest)
    off = np.maximum(found / true, true / found)
    errors = [
        (abs(found - true) / true).mean(),
        ((found - true) ** 2 / true).mean(),
        np.sqrt(((found - true) ** 2).mean()),
        np.sqrt(((np.log(found) - np.log(true)) ** 2).mean()),
        *[(off < 1.25**i).mean() for i in (1, 2, 3)],
    ]
    return np.array(errors), factor


def outliers(error, true):
    return (error > 3) & (error > 0.05 * true)


def disparity_errors(found, true):
    """Absolute errors and true values where the label knows them, [n] each."""
    height, width = true.shape
    found = resized(np.float64(found), height, width) * width / found.shape[1]
    return abs(found - true)[true > 0], np.float64(true[true > 0])


def flow_errors(found, true):
    """Lengths of the error [H, W], and true lengths."""
    height, width = true.shape[:2]
    u = resized(np.float64(found[..., 0]), height, width) * width / found.shape[1]
    v = resized(np.float64(found[..., 1]), height, width) * height / found.shape[0]
    error = np.sqrt((u - true[..., 0]) ** 2 + (v - true[..., 1]) ** 2)
    return error, np.sqrt(np.float64(true[..., 0]) ** 2 + true[..., 1] ** 2)


def snippet_errors(found, true):
    """The published error and the true one of positions [N, 3], both from 0 on."""
    scale = np.sum(true * found) / np.sum(found**2)
    total = sum(np.sum((scale * p - q) ** 2) for p, q in zip(found, true, strict=True))
    return np.sqrt(total) / len(true), np.sqrt(total / len(true))
