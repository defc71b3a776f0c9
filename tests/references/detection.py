"""Detection in float64 NumPy, box by box: overlaps, targets and losses of FCOS."""

import numpy as np


def area(box):
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def giou(a, b):
    """IoU less the share of the smallest common box that neither covers."""
    a, b = np.float64(a), np.float64(b)
    both = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    union = area(a) + area(b) - both
    hull = area([min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])])
    return both / union - (hull - union) / hull


def targets(boxes, points, strides, ranges, radius):
    """Class, box and centreness that each place should say."""
    found = []
    for (x, y), stride, (low, high) in zip(points, strides, ranges, strict=True):
        best = None
        for number, x0, y0, x1, y1 in np.float64(boxes):
            sides = x - x0, y - y0, x1 - x, y1 - y
            if number < 0 or min(sides) <= 0 or not low < max(sides) <= high:
                continue
            away = max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2))
            if radius is not None and away >= radius * stride:
                continue
            if best is None or area([x0, y0, x1, y1]) < area(best[1]):
                left, up, right, down = sides
                near = min(left, right) * min(up, down)
                far = max(left, right) * max(up, down)
                best = int(number), (x0, y0, x1, y1), np.sqrt(near / far)
        found.append(best or (-1, (0.0,) * 4, 0.0))
    return found


def losses(logits, boxes, centres, wanted, alpha=0.25, gamma=2.0):
    """Focal loss, weighted 1 - GIoU and cross-entropy of the centreness."""
    logits = np.float64(logits)
    p = 1 / (1 + np.exp(-logits))
    number = sum(c >= 0 for row in wanted for c, _, _ in row)
    focal = box = weight = centre = 0.0
    for b, row in enumerate(wanted):
        for i, (c, true, w) in enumerate(row):
            for k in range(logits.shape[-1]):
                q = p[b, i, k] if c == k else 1 - p[b, i, k]
                a = alpha if c == k else 1 - alpha
                focal -= a * (1 - q) ** gamma * np.log(q)
            if c >= 0:
                box, weight = box + w * (1 - giou(boxes[b, i], true)), weight + w
                q = 1 / (1 + np.exp(-np.float64(centres[b, i])))
                centre -= w * np.log(q) + (1 - w) * np.log(1 - q)
    return focal / number, box / weight, centre / number
