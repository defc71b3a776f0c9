"""Cameras, warps and photometric errors in float64, by loops, inverses and SciPy."""

import itertools
import math

import numpy as np
from scipy.linalg import expm
from scipy.ndimage import uniform_filter


def grid(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y], -1).astype(np.float64)


def homogeneous(motion):
    return np.concatenate([motion, [[0, 0, 0, 1.0]]])


def se3_exp(twist):
    x, y, z = twist[3:]
    generator = np.zeros((4, 4))
    generator[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    generator[:3, 3] = twist[:3]
    return expm(generator)[:3]


def euler_motion(vector):
    def turn(axis, angle):
        c, s = math.cos(angle), math.sin(angle)
        out = np.eye(3)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
        return out

    rotation = turn(0, vector[3]) @ turn(1, vector[4]) @ turn(2, vector[5])
    return np.concatenate([rotation, np.reshape(vector[:3], (3, 1))], 1)


def backproject(depth, intrinsics):
    places = grid(*depth.shape)
    rays = np.concatenate([places, np.ones((*depth.shape, 1))], -1)
    return rays @ np.linalg.inv(intrinsics).T * depth[..., None]


def project(points, intrinsics, motion):
    seen = (points @ motion[:, :3].T + motion[:, 3]) @ np.float64(intrinsics).T
    return seen[..., :2] / seen[..., 2:]


def splat(flow, weights):
    out = np.zeros(weights.shape)
    for place in np.ndindex(weights.shape):
        x, y = grid(*weights.shape)[place] + flow[place]
        for other in np.ndindex(weights.shape):
            share = max(0, 1 - abs(x - other[1])) * max(0, 1 - abs(y - other[0]))
            out[other] += share * weights[place]
    return out


def correlation(a, b, reach, stride):
    height, width = a.shape[:2]
    steps = [stride * k for k in range(-(reach // stride), reach // stride + 1)]
    out = np.zeros((height, width, len(steps) ** 2))
    for y, x in np.ndindex(height, width):
        for k, (dy, dx) in enumerate(itertools.product(steps, steps)):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                out[y, x, k] = np.mean(a[y, x] * b[y + dy, x + dx])
    return out


def ssim_distance(a, b):
    """Of single pictures [H, W, C], borders mirrored."""

    def mean(x):
        return uniform_filter(x, (3, 3, 1), mode="mirror")

    a, b = np.float64(a), np.float64(b)
    variance_a = mean(a * a) - mean(a) ** 2
    variance_b = mean(b * b) - mean(b) ** 2
    covariance = mean(a * b) - mean(a) * mean(b)
    ssim = (2 * mean(a) * mean(b) + 1e-4) * (2 * covariance + 9e-4)
    ssim /= (mean(a) ** 2 + mean(b) ** 2 + 1e-4) * (variance_a + variance_b + 9e-4)
    return np.clip((1 - ssim) / 2, 0, 1)


def census_distance(a, b, radius):
    a, b = (255 * np.float64(x) @ [0.299, 0.587, 0.114] for x in (a, b))
    out = np.zeros(a.shape)

    def ternary(x, y, x0, y0):
        inside = 0 <= y < a.shape[0] and 0 <= x < a.shape[1]
        pair = [(image[y, x] if inside else 0) - image[y0, x0] for image in (a, b)]
        return [d / math.sqrt(0.81 + d * d) for d in pair]

    steps = range(-radius, radius + 1)
    for y, x in np.ndindex(a.shape):
        for dy, dx in itertools.product(steps, steps):
            one, other = ternary(x + dx, y + dy, x, y)
            out[y, x] += (one - other) ** 2 / (0.1 + (one - other) ** 2)
    return out


def flow_smoothness(flow):
    """Mean over directions and sum over u and v, where both neighbours exist."""
    height, width = flow.shape[:2]
    out = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            places = [(y - dy, x - dx), (y + dy, x + dx)]
            if all(0 <= i < height and 0 <= j < width for i, j in places):
                bend = flow[places[0]] - 2 * flow[y, x] + flow[places[1]]
                out[y, x] += ((bend**2 + 1e-6) ** 0.45).sum() / 4
    return out
