"""Resampling, colours, blur, warps and their random parameters, float64 with loops."""

import colorsys
import math

import numpy as np

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def picture(rng, height, width, channels=3, low=0, high=255):
    """A uint8 image with smooth shading, edges and noise, within [low, high]."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    image = np.empty((height, width, channels))
    for c in range(channels):
        a, b, d, e = rng.uniform(-6, 6, 4)
        image[..., c] = np.sin(a * x + b * y) + 0.6 * (np.sin(9 * (d * x + e * y)) > 0)
    image += rng.normal(0, 0.15, image.shape)
    image -= image.min()
    return np.round(low + (high - low) * image / image.max()).astype(np.uint8)


def tent(x):
    return max(0.0, 1.0 - abs(x))


def keys_cubic(x):
    a, x = -0.5, abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return 0.0


FILTERS = {"bilinear": (tent, 1.0), "bicubic": (keys_cubic, 2.0)}


def resize_axis(x, num_out, method):
    """Antialiased resize of axis 0, Pillow's windows: whole pixels about the centre."""
    kernel, reach = FILTERS[method]
    num_in = x.shape[0]
    scale = num_in / num_out
    stretch = max(scale, 1.0)
    out = np.zeros((num_out, *x.shape[1:]))
    for i in range(num_out):
        center = (i + 0.5) * scale
        first = max(int(center - reach * stretch + 0.5), 0)
        last = min(int(center + reach * stretch + 0.5), num_in)
        weights = [kernel((j + 0.5 - center) / stretch) for j in range(first, last)]
        for j, weight in zip(range(first, last), weights, strict=True):
            out[i] += weight / sum(weights) * x[j]
    return out


def crop_and_resize(image, box, height, width, method):
    """`box` = (top, left, height, width) in whole pixels."""
    top, left, h, w = box
    x = image[top : top + h, left : left + w].astype(np.float64)
    x = resize_axis(x, height, method)
    return resize_axis(x.swapaxes(0, 1), width, method).swapaxes(0, 1)


def luma(image):
    return 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]


def brightness(image, factor):
    return np.clip(image * factor, 0, 1)


def contrast(image, factor):
    return np.clip(luma(image).mean() * (1 - factor) + image * factor, 0, 1)


def saturation(image, factor):
    return np.clip(luma(image)[..., None] * (1 - factor) + image * factor, 0, 1)


def hue(image, shift):
    out = np.empty_like(image, dtype=np.float64)
    for place in np.ndindex(image.shape[:-1]):
        h, s, v = colorsys.rgb_to_hsv(*(float(c) for c in image[place]))
        out[place] = colorsys.hsv_to_rgb((h + shift) % 1.0, s, v)
    return out


def jitter(image, parameters, order, additive=False):
    """The four operations, `order` naming them from first to last."""
    x = image.astype(np.float64)
    for operation in order:
        value = float(parameters[operation])
        if operation == BRIGHTNESS and additive:
            x = np.clip(x + value, 0, 1)
        else:
            x = (brightness, contrast, saturation, hue)[operation](x, value)
    return x


def gaussian_blur(image, sigma, kernel_size):
    radius = kernel_size // 2
    taps = [math.exp(-0.5 * (d / sigma) ** 2) for d in range(-radius, radius + 1)]
    padded = np.pad(
        image.astype(np.float64),
        ((radius, radius), (radius, radius), (0, 0)),
        "reflect",
    )
    out = np.zeros(image.shape)
    height, width = image.shape[:2]
    for i, a in enumerate(taps):
        for j, b in enumerate(taps):
            out += a * b / sum(taps) ** 2 * padded[i : i + height, j : j + width]
    return out


def bilinear_sample(image, points, border):
    height, width = image.shape[:2]
    out = np.zeros((*points.shape[:-1], image.shape[-1]))
    for place in np.ndindex(points.shape[:-1]):
        x, y = points[place]
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                weight = (1 - abs(x - column)) * (1 - abs(y - row))
                inside = 0 <= row < height and 0 <= column < width
                if inside or border == "edge":
                    r = min(max(row, 0), height - 1)
                    c = min(max(column, 0), width - 1)
                    out[place] += weight * image[r, c]
    return out


def affine_matrix(angle, shift, scale, shear):
    """Output to input: the inverse of move · rotate · shear · scale, homogeneous."""
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1.0]])
    c, s = math.cos(angle), math.sin(angle)
    rotate = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    slant = np.array([[1, math.tan(shear), 0], [0, 1, 0], [0, 0, 1.0]])
    grow = np.diag([scale, scale, 1.0])
    return np.linalg.inv(move @ rotate @ slant @ grow)[:2]


def torchvision_box(rng, height, width, scale, ratio):
    """(top, left, height, width): ten tries, then the largest central box."""
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return (
                rng.integers(0, height - h + 1),
                rng.integers(0, width - w + 1),
                h,
                w,
            )
    if width / height < ratio[0]:
        w, h = width, round(width / ratio[0])
    elif width / height > ratio[1]:
        w, h = round(height * ratio[1]), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def clipped_box(rng, height, width, scale, ratio):
    """(top, left, height, width): one try, each side cut to the image's."""
    area = height * width * rng.uniform(*scale)
    aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
    w = min(round(math.sqrt(area * aspect)), width)
    h = min(round(math.sqrt(area / aspect)), height)
    return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
