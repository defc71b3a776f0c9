"""UnFlow's and Self-Mono-SF's losses of single pictures, in float64."""

import numpy as np


def grid(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y], -1).astype(np.float64)


def sampled(image, places, border):
    """Bilinear values of image [H, W, C] at places [h, w, 2]; "edge" or "zero"."""
    height, width = image.shape[:2]
    x0, y0 = np.floor(places[..., 0]), np.floor(places[..., 1])
    total = np.zeros((*places.shape[:2], image.shape[2]))
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = x0 + dx, y0 + dy
            share = (1 - abs(places[..., 0] - x)) * (1 - abs(places[..., 1] - y))
            i, j = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
            if border == "zero":
                share = share * ((i == y) & (j == x))
            total += share[..., None] * image[i.astype(int), j.astype(int)]
    return total


def splatted(flow):
    """How many ones arrive at each pixel that move along flow [H, W, 2]."""
    height, width = flow.shape[:2]
    there = (grid(height, width) + flow).reshape(-1, 2)
    down = np.maximum(0, 1 - abs(there[:, 1:] - np.arange(height)))
    right = np.maximum(0, 1 - abs(there[:, :1] - np.arange(width)))
    return np.einsum("ni,nj->ij", down, right)


def enlarged(x, factor):
    """Bilinear, pixel centres at halves, the border repeated."""

    def weights(n):
        at = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
        return np.maximum(0, 1 - abs(at[:, None] - np.arange(n)))

    return np.einsum("ai,bj,ijc->abc", weights(len(x)), weights(x.shape[1]), x)


def pooled(image, k):
    """Means of k x k pixels."""
    height, width, channels = image.shape
    return image.reshape(height // k, k, width // k, k, channels).mean((1, 3))


def rho(x):
    return (x**2 + 1e-6) ** 0.45


def ternary(image, radius):
    """Soft comparisons with the (2 r + 1)² pixels around, black beyond the picture."""
    grey = 255 * image @ [0.299, 0.587, 0.114]
    height, width = grey.shape
    wide = np.pad(grey, radius)
    steps = range(2 * radius + 1)
    difference = [
        wide[i : i + height, j : j + width] - grey for i in steps for j in steps
    ]
    return np.array([d / np.sqrt(0.81 + d**2) for d in difference])


def data_error(first, second, flow, counts, term, radius):
    warped = sampled(second, grid(*flow.shape[:2]) + flow, "edge")
    if term == "brightness":
        return (rho(255 * (first - warped)).mean(-1) * counts).mean()
    square = (ternary(first, radius) - ternary(warped, radius)) ** 2
    distance = (square / (0.1 + square)).sum(0)
    inner = np.zeros(counts.shape)
    inner[radius : len(inner) - radius, radius : inner.shape[1] - radius] = 1
    return (rho(distance) * counts * inner).mean()


def bends(flow):
    """Σ over u and v of the mean over pixels and four directions."""
    height, width = flow.shape[:2]
    total = 0
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        y, x = np.mgrid[dy : height - dy, abs(dx) : width - abs(dx)]
        ends = flow[y - dy, x - dx] + flow[y + dy, x + dx]
        total += rho(ends - 2 * flow[y, x]).sum()
    return total / (4 * height * width)


def one_way(first, second, flow, back, term, radius, margin, occlusion):
    """(data, smoothness, consistency, penalty) of a flow in pixels."""
    height, width = flow.shape[:2]
    there = grid(height, width) + flow
    returned = sampled(back, there, "edge")
    apart = ((flow + returned) ** 2).sum(-1)
    limit = 0.01 * ((flow**2).sum(-1) + (returned**2).sum(-1)) + 0.5
    if margin is None:
        last = [width - 1, height - 1]
        counts = ((there >= 0) & (there <= last)).all(-1).astype(float)
    else:
        counts = np.zeros((height, width))
        counts[margin : height - margin, margin : width - margin] = 1
    if occlusion:
        counts = counts * (apart <= limit)
    return (
        data_error(first, second, flow, counts, term, radius),
        bends(flow),
        (rho(flow + returned).mean(-1) * counts).mean(),
        rho(1 - counts).mean(),
    )


def unflow(pairs, flows, settings):
    """The whole loss.

    Args:
        pairs: pictures [B, 2, H, W, 3].
        flows: of each level [B, 2, h, w, 2] in units of 20 pixels of the pictures.
        settings: weights of the terms; "levels", of (weight, radius) each; "term",
            "margin", a share of the shorter side or None, and "occlusion".
    """
    rows = []
    for pair, *own in zip(pairs, *flows, strict=True):
        total = 0
        for level, (weight, radius) in zip(own, settings["levels"], strict=True):
            pixels = pair.shape[1] // level.shape[1]
            images = [pooled(image, pixels) for image in pair]
            flow, margin = level * 20 / pixels, settings["margin"]
            margin = None if margin is None else round(margin * min(flow.shape[1:3]))
            for a, b in ((0, 1), (1, 0)):
                terms = one_way(
                    *(images[a], images[b], flow[a], flow[b], settings["term"]),
                    *(radius, margin, settings["occlusion"]),
                )
                total += weight * np.dot(settings["weights"], terms)
        rows.append(total)
    return np.mean(rows)


def ssim_distance(a, b):
    """[H, W, C], 0 at the border."""
    windows = [
        np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1)) for x in (a, b)
    ]
    p, q = (x.reshape(*x.shape[:3], 9) for x in windows)
    mean_p, mean_q = p.mean(-1), q.mean(-1)
    both = ((p - mean_p[..., None]) * (q - mean_q[..., None])).mean(-1)
    ssim = (2 * mean_p * mean_q + 1e-4) * (2 * both + 9e-4)
    ssim /= (mean_p**2 + mean_q**2 + 1e-4) * (p.var(-1) + q.var(-1) + 9e-4)
    out = np.zeros(a.shape)
    out[1:-1, 1:-1] = np.clip((1 - ssim) / 2, 0, 1)
    return out


def photometric(a, b):
    return 0.85 * ssim_distance(a, b).mean(-1) + 0.15 * abs(a - b).sum(-1)


def edge_bends(values, image):
    """Second differences with the border repeated, weighed down at edges."""
    total = np.zeros(values.shape)
    for axis in (0, 1):
        border = [(0, 0)] * 3
        border[axis] = (1, 1)
        second = abs(np.diff(np.pad(values, border, mode="edge"), n=2, axis=axis))
        border[axis] = (0, 1)
        edge = abs(np.diff(np.pad(image, border, mode="edge"), axis=axis))
        total += second * np.exp(-10 * edge.mean(-1, keepdims=True))
    return total


def arrives(flow):
    """Whether more than half a pixel arrives; everywhere where few of them do."""
    seen = splatted(flow) > 0.5
    return seen if seen.mean() >= 0.5 else np.ones_like(seen)


def points_of(share, camera, baseline):
    width = share.shape[1]
    depth = np.clip(camera[0, 0] * baseline / (share * width), 1e-3, 80)
    rays = np.concatenate([grid(*share.shape), np.ones((*share.shape, 1))], -1)
    return rays @ np.linalg.inv(camera).T * depth[..., None]


def projected(points, camera):
    seen = points @ camera.T
    return seen[..., :2] / seen[..., 2:]


def scene_flow(lefts, rights, flows, shares, right_shares, camera, baseline, ii):
    """(loss of the scene flows, of the disparities) of one example at one level.

    Args:
        lefts: two frames [2, H, W, 3], at the size of the level, as all else.
        rights: likewise.
        flows: there and back, [2, H, W, 3] metres.
        shares: disparities [2, H, W] as shares of the width.
        right_shares: those of the right pictures.
        camera: [3, 3].
        baseline: metres.
        ii: number of the level.
    """
    width = lefts.shape[2]
    still = np.zeros(lefts.shape[1:3])
    points = [points_of(share, camera, baseline) for share in shares]
    places = [projected(p + f, camera) for p, f in zip(points, flows, strict=True)]
    in_left = [arrives(np.stack([s * width, still], -1)) for s in right_shares]
    disparity = moving = 0
    for a, b in ((0, 1), (1, 0)):
        across = np.stack([-shares[a] * width, still], -1)
        warped = sampled(rights[a], grid(*still.shape) + across, "zero")
        disparity += photometric(lefts[a], warped)[in_left[a]].mean()
        bent = edge_bends(shares[a][..., None], lefts[a]).mean()
        disparity += 0.1 * bent / 2**ii
        counts = in_left[a] & arrives(places[b] - grid(*still.shape))
        seen = sampled(lefts[b], places[a], "zero")
        found = sampled(points[b], places[a], "zero")
        away = np.linalg.norm(points[a], axis=-1)
        missed = np.linalg.norm(points[a] + flows[a] - found, axis=-1) / away
        bent = edge_bends(flows[a], lefts[a]).mean(-1) / away
        moving += photometric(lefts[a], seen)[counts].mean()
        moving += 0.2 * missed[counts].mean() + 200 * bent.mean() / 2**ii
    return moving, disparity
