"""What runs on real pictures reached, beside what needs no learning.

Errors of disparity are taken at the pixels of the label, so that maps of any size are
compared on the same pixels. OpenCV is imported here alone, and may be missing.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

try:
    import cv2
except ImportError:  # Its rows are left out.
    cv2 = None

BAD = 3.0  # Pixels.


def picture(path, size=None):
    """[H, W, 3] uint8, antialiased where it is brought to `size` (height, width)."""
    image = Image.open(path).convert("RGB")
    if size is not None:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image)


def stretched(disparity, shape):
    """A map of all of a picture, at the pixels and in the pixels of a label."""
    factor = shape[1] / disparity.shape[1]
    image = Image.fromarray(np.float32(disparity * factor))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR))


def of_disparity(found, true, width):
    """Share off by more than 3 pixels of the label, and of a picture of `width`.

    Args:
        found: [H, W] pixels of the label.
        true: [H, W], not above 0 or not finite where it is unknown.
        width: of the small picture that was read.
    """
    known = np.isfinite(true) & (true > 0)
    error = np.abs(found - np.where(known, true, 0))[known]
    scale = true.shape[1] / width
    return {
        "bad_3_small": round(float((error > BAD * scale).mean()), 4),
        "epe_small": round(float(error.mean() / scale), 4),
        "bad_3": round(float((error > BAD).mean()), 4),
        "epe": round(float(error.mean()), 4),
    }


def best_constant(true, width):
    """The errors of the constants that are best by each measure.

    The bad pixels are fewest for the window of disparities that holds most of them,
    the mean error is least for the median.
    """
    values = np.sort(true[np.isfinite(true) & (true > 0)].astype(np.float64))
    found = of_disparity(np.full(true.shape, np.median(values)), true, width)
    for name, reach in (("bad_3_small", true.shape[1] / width), ("bad_3", 1.0)):
        last = np.searchsorted(values, values + 2 * BAD * reach, side="right")
        most = (last - np.arange(len(values))).max()
        found[name] = round(1 - float(most / len(values)), 4)
    return found


def block_matching(left, right, reach, block, semi_global):
    """Disparities by OpenCV with its holes filled along the rows, and their density.

    Args:
        left: [H, W, 3] uint8.
        right: likewise.
        reach: largest disparity, which is rounded up to a multiple of 16.
        block: side of the blocks, odd.
        semi_global: Hirschmueller's matching rather than that of blocks alone.
    """
    count = -(-int(reach) // 16) * 16
    if semi_global:
        costs = {"P1": 8 * 3 * block**2, "P2": 32 * 3 * block**2}
        matcher = cv2.StereoSGBM_create(0, count, block, **costs, uniquenessRatio=10)
        grey = left, right
    else:
        matcher = cv2.StereoBM_create(count, block)
        grey = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (left, right)]
    # Columns of the right picture that do not exist are grey.
    padded = [np.pad(x, ((0, 0), (count, 0), *[(0, 0)] * (x.ndim - 2))) for x in grey]
    found = matcher.compute(*map(np.ascontiguousarray, padded))[:, count:] / 16.0
    known = found >= 0
    return filled(np.where(known, found, np.nan)), float(known.mean())


def filled(values):
    """Holes, which are NaN, with the lesser of their neighbours in the row."""
    sides = []
    for step in (1, -1):
        rows = values[:, ::step]
        known = np.isfinite(rows)
        last = np.maximum.accumulate(
            np.where(known, np.arange(rows.shape[1]), -1), axis=1
        )
        nearest = np.take_along_axis(rows, np.maximum(last, 0), axis=1)
        sides.append(np.where(last >= 0, nearest, np.nan)[:, ::step])
    return np.nan_to_num(np.fmin(*sides))


def fetched(image, flow):
    """[H, W, C] float, the next frame's values where the flow [H, W, 2] leads."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float64)
    at = [y + flow[..., 1], x + flow[..., 0]]
    channels = np.moveaxis(image.astype(np.float64), -1, 0)
    return np.stack(
        [map_coordinates(c, at, order=1, mode="nearest") for c in channels], axis=-1
    )


def of_flow(first, second, flow):
    """Mean absolute difference in grey levels of the warped frame, and lengths."""
    difference = np.abs(fetched(second, flow) - first)
    length = np.hypot(flow[..., 0], flow[..., 1])
    return {
        "photometric": round(float(difference.mean()), 3),
        "mean_length": round(float(length.mean()), 3),
        "max_length": round(float(length.max()), 3),
    }


def dense_search(first, second):
    """[H, W, 2], the flow that OpenCV finds by its dense inverse search."""
    grey = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (first, second)]
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return finder.calc(*grey, None)
