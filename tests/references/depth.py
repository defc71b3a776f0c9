"""SfMLearner, Monodepth and Monodepth2 in float64, from the papers, picture by picture.

The networks are those of `tests.methods.depth_nets`: a linear map of each pixel, maps
at two scales, and motions that are linear in the mean of the frames.
"""

import numpy as np

C1, C2 = 0.01**2, 0.03**2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(x, p):
    return x @ p["kernel"] + p["bias"]


def halved(x):
    """Means of 2 x 2 pixels of [..., H, W, C]."""
    *lead, h, w, c = x.shape
    return x.reshape(*lead, h // 2, 2, w // 2, 2, c).mean((-4, -2))


def half_camera(k):
    """Intrinsics of a picture of half the sides."""
    out = k.copy()
    out[:2] /= 2
    out[:2, 2] -= 1 / 4
    return out


def doubled_axis(x, axis):
    """Twice as many values, interpolated at quarters, the ends repeated."""
    x = np.moveaxis(x, axis, 0)
    before = np.concatenate([x[:1], x[:-1]])
    after = np.concatenate([x[1:], x[-1:]])
    both = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], 1)
    return np.moveaxis(both.reshape(-1, *x.shape[1:]), 0, axis)


def maps_of(p, x, scale=1.0, offset=0.0):
    """Maps [B, h, w, m] at two scales of images [B, H, W, C]."""
    fine = dense(x, p["encoder"]["cell"])
    levels = fine, halved(fine)
    return [
        offset + scale * sigmoid(dense(level, p["decoder"][f"map{i}"]))
        for i, level in enumerate(levels)
    ]


def cross(w):
    return np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])


def rotation(w):
    """Rodrigues' formula."""
    angle = np.sqrt((w * w).sum())
    if angle == 0:
        return np.eye(3)
    k = cross(w / angle)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def moved(depth, k, turn, offset):
    """Where the pixels of a target of this depth are seen, x and y [H, W], and z."""
    h, w = depth.shape
    y, x = np.mgrid[:h, :w].astype(float)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(k).T
    points = (depth[..., None] * rays) @ turn.T + offset
    seen = points @ k.T
    return seen[..., 0] / seen[..., 2], seen[..., 1] / seen[..., 2], points[..., 2]


def sampled(image, x, y):
    """Bilinear values [h, w, C] of an image [H, W, C], its edge repeated outside."""
    h, w = image.shape[:2]
    x, y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
    i, j = np.minimum(y.astype(int), h - 2), np.minimum(x.astype(int), w - 2)
    a, b = (y - i)[..., None], (x - j)[..., None]
    top = (1 - b) * image[i, j] + b * image[i, j + 1]
    low = (1 - b) * image[i + 1, j] + b * image[i + 1, j + 1]
    return (1 - a) * top + a * low


def ssim_term(a, b):
    """(1 - SSIM) / 2 of windows of 3 x 3 that lie in the pictures [H, W, C]."""
    x, y = (
        np.lib.stride_tricks.sliding_window_view(image, (3, 3), (0, 1))
        for image in (a, b)
    )
    mx, my = x.mean((-2, -1)), y.mean((-2, -1))
    both = (x * y).mean((-2, -1)) - mx * my
    top = (2 * mx * my + C1) * (2 * both + C2)
    low = (mx**2 + my**2 + C1) * (x.var((-2, -1)) + y.var((-2, -1)) + C2)
    return np.clip((1 - top / low) / 2, 0, 1)


def photometric(a, b, weight=0.85):
    """[H, W]; the pictures are mirrored at their borders."""
    border = ((1, 1), (1, 1), (0, 0))
    term = ssim_term(np.pad(a, border, "reflect"), np.pad(b, border, "reflect"))
    return (weight * term + (1 - weight) * np.abs(a - b)).mean(-1)


def rough(d, image):
    """Means of the edge-aware changes of d [H, W] along x and along y."""
    found = []
    for axis in (1, 0):
        edges = np.abs(np.diff(image, axis=axis)).mean(-1)
        found.append((np.abs(np.diff(d, axis=axis)) * np.exp(-edges)).mean())
    return found


def mirrored_back(turn, offset):
    """The inverse of a rigid motion."""
    return turn.T, -turn.T @ offset


def monodepth2(
    p, held, state, views, drawn, *, sources, minimum, auto_mask, full, depths, nominal
):
    """Its loss; `drawn` [2 scales, B, S, H, W] is what breaks ties."""
    side = "left_" if sources != "mono" else ""
    frames, inputs = views[f"{side}frames"], views[f"{side}inputs"]
    t = (frames.shape[1] - 1) // 2
    others = [i for i in range(frames.shape[1]) if i != t]
    maps = maps_of(p, inputs[:, t])
    low, high = 1 / depths[1], 1 / depths[0]
    total = 0
    for b in range(len(frames)):
        k = views["left_camera"][b][:, :3] if side else views["intrinsics"][b]
        images, motions = [], []
        if sources != "stereo":
            for i in others:
                pair = [inputs[b, min(i, t)], inputs[b, max(i, t)]]
                cells = dense(np.concatenate(pair, -1), p["pose_encoder"]["cell"])
                twist = 0.3 * dense(cells.mean((0, 1)), p["pose"]["motion"])
                motion = rotation(twist[3:]), twist[:3]
                motions.append(motion if i > t else mirrored_back(*motion))
                images.append(frames[b, i])
        if sources != "mono":
            images.append(views["right_frames"][b, t])
            motions.append((np.eye(3), np.array([-nominal, 0, 0])))
        for s in range(2):
            target, shown, own = frames[b, t], images, k
            d = maps[s][b, ..., 0]
            small = target if s == 0 else halved(target)
            smooth = sum(rough(d / (d.mean() + 1e-7), small)) / 2**s
            if s and full:
                d = doubled_axis(doubled_axis(d, 0), 1)
            elif s:
                target, shown = halved(target), [halved(x) for x in images]
                own = half_camera(k)
            depth = 1 / (low + (high - low) * d)
            found, still = [], []
            for image, motion in zip(shown, motions, strict=True):
                x, y, _ = moved(depth, own, *motion)
                found.append(photometric(sampled(image, x, y), target))
                still.append(photometric(image, target))
            if not minimum:
                found, still = [np.mean(found, 0)], [np.mean(still, 0)]
            if auto_mask:
                noise = drawn[s][b] if full else drawn[s][0, b]
                found += [e + n for e, n in zip(still, noise, strict=True)]
            total += (np.min(found, 0).mean() + 1e-3 * smooth) / 2
    return total / len(frames), state


def monodepth(p, held, state, views, drawn, *, along, left_right=1.0):
    frames = [views[f"{side}_frames"][:, 0] for side in ("left", "right")]
    maps = maps_of(p, views["left_inputs"][:, 0], scale=0.3)
    total = 0
    for b in range(len(frames[0])):
        for s in range(2):
            pictures = [halved(x[b]) if s else x[b] for x in frames]
            y, x = np.mgrid[: pictures[0].shape[0], : pictures[0].shape[1]]
            width = x.shape[1]
            for i, sign in ((0, -1), (1, 1)):
                d, other = maps[s][b, ..., i], maps[s][b, ..., 1 - i]
                there = x + sign * width * d
                shown = sampled(pictures[1 - i], there, y)
                total += 0.85 * ssim_term(shown, pictures[i]).mean()
                total += 0.15 * np.abs(shown - pictures[i]).mean()
                edges = rough(d, pictures[i])
                edges = sum(edges) if along == "both" else edges[0]
                total += 0.1 / 2**s * edges
                returned = sampled(other[..., None], there, y)[..., 0]
                total += left_right * np.abs(d - returned).mean()
    return total / len(frames[0]), state


def euler(v):
    """(R, t) of three of translation and three angles."""
    axes = np.eye(3)
    turns = [rotation(angle * axis) for angle, axis in zip(v[3:], axes, strict=True)]
    return turns[0] @ turns[1] @ turns[2], v[:3]


def sfmlearner(p, held, state, views, drawn, *, smoothness, explaining):
    frames, inputs = views["frames"], views["inputs"]
    B, T = frames.shape[:2]
    t = (T - 1) // 2
    others = [i for i in range(T) if i != t]
    maps = maps_of(p, inputs[:, t], scale=10.0, offset=0.01)
    stacked = np.concatenate([inputs[:, i] for i in [t, *others]], -1)
    vectors = 0.3 * dense(stacked.mean((1, 2)), p["pose"]["motion"])
    logits = dense(stacked, p["pose"]["mask"])
    logits = [logits.reshape(*logits.shape[:3], T - 1, 2)]
    logits.append(halved(logits[0].reshape(*stacked.shape[:3], -1)))
    logits[1] = logits[1].reshape(*logits[1].shape[:3], T - 1, 2)
    total = 0
    for b in range(B):
        k = views["intrinsics"][b]
        for s in range(2):
            half = halved if s else lambda x: x
            own = half_camera(k) if s else k
            d = maps[s][b, ..., 0]
            target = 2 * half(frames[b, t]) - 1
            for n, i in enumerate(others):
                image = 2 * half(frames[b, i]) - 1
                x, y, z = moved(1 / d, own, *euler(vectors[b, 6 * n : 6 * n + 6]))
                h, w = d.shape
                inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1) & (z > 0)
                shown = np.where(inside[..., None], sampled(image, x, y), 0)
                error = np.abs(shown - target).mean(-1)
                if explaining:
                    chosen = logits[s][b, :, :, n]
                    can = sigmoid(chosen[..., 1] - chosen[..., 0])
                    error = error * can
                    total += explaining * -np.log(can).mean()
                total += error.mean()
            dx, dy = np.diff(d, axis=1), np.diff(d, axis=0)
            bends = np.diff(dx, axis=1), np.diff(dx, axis=0), np.diff(dy, axis=1)
            bends = (*bends, np.diff(dy, axis=0))
            total += smoothness / 2**s * sum(np.abs(x).mean() for x in bends)
    return total / B, state
