"""Colours in float64: Lab of sRGB, bins, the losses of predicting colours."""

import functools

import numpy as np

SIGMA = 5.0  # Of the Gaussian that shares a colour among bins.


def rgb_to_lab(rgb):
    """CIE's definitions one after the other, for sRGB [..., 3] in [0, 1] and D65."""
    rgb = np.asarray(rgb, np.float64)
    low = rgb <= 0.04045
    linear = np.where(
        low, rgb / 12.92, ((np.where(low, 1, rgb) + 0.055) / 1.055) ** 2.4
    )
    r, g, b = np.moveaxis(linear, -1, 0)
    x = 0.412453 * r + 0.357580 * g + 0.180423 * b
    y = 0.212671 * r + 0.715160 * g + 0.072169 * b
    z = 0.019334 * r + 0.119193 * g + 0.950227 * b

    def f(t):
        return np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)

    fx, fy, fz = f(x / 0.95047), f(y), f(z / 1.08883)
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def soft_encode(ab, centers, neighbors):
    """Targets [..., Q] of colours [..., 2]: a Gaussian over the nearest bins."""
    squares = ((ab[..., None, :] - centers) ** 2).sum(-1)
    order = np.argsort(squares, axis=-1, kind="stable")
    kept = np.zeros(squares.shape, bool)
    np.put_along_axis(kept, order[..., :neighbors], True, axis=-1)
    target = np.where(kept, np.exp(-squares / (2 * SIGMA**2)), 0.0)
    return target / target.sum(-1, keepdims=True)


def class_weights(prior, uniform_share):
    """Equation 4 of the paper, scaled to a mean of 1 under the prior."""
    weights = 1 / ((1 - uniform_share) * prior + uniform_share / len(prior))
    return weights / (prior * weights).sum()


def cross_entropies(logits, target):
    """-Σ target log softmax(logits), over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -(target * log_p).sum(-1)


def middles(values, h, w):
    """Pixels in the middle of h x w cells of images [B, H, W, C]."""
    rows = [int((i + 0.5) * values.shape[1] / h) for i in range(h)]
    columns = [int((j + 0.5) * values.shape[2] / w) for j in range(w)]
    return values[:, rows][:, :, columns]


def scaled(lab):
    """What networks read: L - 50, a and b, in units of 50."""
    return (lab - [50, 0, 0]) / 50


def dense_features(x, p):
    """[n, ...] to [n, 1, 1, F]: one dense layer and ReLU, the encoder compared."""
    x = x.reshape(len(x), -1) @ p["dense"]["kernel"] + p["dense"]["bias"]
    return np.maximum(x, 0)[:, None, None]


@functools.cache
def lab_and_target(pixels, centers, neighbors):
    """Lab of images [n, 3, 3, 3] and the targets of their middles, by their bytes.

    A gradient by differences asks for them thousands of times.
    """
    lab = rgb_to_lab(np.frombuffer(pixels).reshape(-1, 3, 3, 3))
    bins = np.frombuffer(centers).reshape(-1, 2)
    return lab, soft_encode(middles(lab, 1, 1)[..., 1:], bins, neighbors)


def colorization(p, held, s, views, drawn, *, centers, neighbors, uniform_share):
    """Loss and next state of the whole method on images of 3 x 3 pixels."""
    lab, target = lab_and_target(views.tobytes(), centers.tobytes(), neighbors)
    x = dense_features(scaled(lab)[..., :1], p["encoder"]["encoder"])
    logits = x @ p["classifier"]["dense"]["kernel"] + p["classifier"]["dense"]["bias"]
    weights = class_weights(s["prior"], uniform_share)[target.argmax(-1)]
    counts = (np.abs(lab[..., 1:]).max((1, 2, 3)) > 5)[:, None, None]
    return (weights * counts * cross_entropies(logits, target)).mean(), s


def split_brain(p, held, s, views, drawn, *, centers, neighbors, lightness_bins):
    """The same of the split-brain; lightness_bins = 0 for regression."""
    lab, target = lab_and_target(views.tobytes(), centers.tobytes(), neighbors)
    x, heads = scaled(lab), p["predictor"]
    seen = dense_features(x[..., :1], p["encoder"]["lightness"])
    color = seen @ heads["color"]["dense"]["kernel"] + heads["color"]["dense"]["bias"]
    seen, head = dense_features(x[..., 1:], p["encoder"]["color"]), heads["lightness"]
    light = seen @ head["dense"]["kernel"] + head["dense"]["bias"]
    pixel = middles(lab, 1, 1)
    if lightness_bins:
        place = np.minimum(pixel[..., 0] / 100 * lightness_bins, lightness_bins - 1)
        one_hot = np.eye(lightness_bins)[place.astype(int)]
        both = cross_entropies(color, target), cross_entropies(light, one_hot)
    else:
        pixel = scaled(pixel)
        both = (
            ((color - pixel[..., 1:]) ** 2).sum(-1),
            ((light - pixel[..., :1]) ** 2).sum(-1),
        )
    return both[0].mean() + both[1].mean(), s
