"""Colour operations on RGB images with values in [0, 1].

Every operation returns values in [0, 1] again. Axes before [H, W, 3], such as the
frames of a video, share the parameters. Grey is the luma of ITU-R BT.601,
0.299 R + 0.587 G + 0.114 B, as Pillow's and torchvision's "L" mode has it.

Note:
    torchvision's tensor path and TensorFlow write 0.2989 for 0.299. Those weights sum
    to 0.9999, so white would turn grey; the ones here keep it.
"""

import jax.numpy as jnp

from jax_ssl.core.types import Array

LUMA = (0.299, 0.587, 0.114)

Scalar = float | Array


def luma(image: Array) -> Array:
    """Brightness as the eye sees it: [..., 3] -> [...]."""
    r, g, b = (image[..., c] for c in range(3))
    return LUMA[0] * r + LUMA[1] * g + LUMA[2] * b


def mean_luma(image: Array) -> Array:
    """The mean luma of each image: [..., H, W, 3] -> [...].

    Summed in whole numbers (of 2⁻¹⁴ at 224 x 224, finer in smaller images), so that the
    result depends neither on the order of the sum nor, by it, on the device count.
    """
    num_pixels = image.shape[-3] * image.shape[-2]
    unit = 2.0 ** -(30 - num_pixels.bit_length())
    whole = jnp.round(luma(image) / unit).astype(jnp.int32)
    return whole.sum(axis=(-2, -1)).astype(jnp.float32) * (unit / num_pixels)


def grayscale(image: Array) -> Array:
    """The luma in all three channels: [..., 3] -> [..., 3]."""
    gray = luma(image)
    return jnp.stack([gray, gray, gray], axis=-1)


def blend(
    image: Array, scale: Scalar, gray: Scalar, mean: Scalar, offset: Scalar
) -> Array:
    """clip(scale · x + gray · luma(x) + mean · mean(luma(x)) + offset, 0, 1).

    Brightness, contrast and saturation are all of this form, so one pass serves
    whichever of them a traced order asks for.

    Args:
        image: [..., H, W, 3].
        scale: weight of the pixel itself; 1, 0, 0, 0 is the identity, exactly.
        gray: weight of the pixel's luma.
        mean: weight of the image's mean luma.
        offset: added last.

    Returns:
        [..., H, W, 3] in [0, 1].
    """
    level = mean * mean_luma(image)[..., None, None] + offset
    rest = gray * luma(image) + level
    return jnp.clip(scale * image + rest[..., None], 0.0, 1.0)


def brightness(image: Array, factor: Scalar, offset: Scalar = 0.0) -> Array:
    """clip(factor · x + offset): 0 is black, 1 the identity.

    SimCLR's first version and BYOL have the factor 1 and an offset.
    """
    return jnp.clip(factor * image + offset, 0.0, 1.0)


def contrast(image: Array, factor: Scalar) -> Array:
    """clip(m + factor · (x - m)), m the mean luma of the image [H, W, 3]."""
    return blend(image, factor, 0.0, 1.0 - factor, 0.0)


def saturation(image: Array, factor: Scalar) -> Array:
    """clip(g + factor · (x - g)), g the pixel's luma; factor 0 is `grayscale`."""
    return blend(image, factor, 1.0 - factor, 0.0, 0.0)


def hue(image: Array, shift: Scalar) -> Array:
    """Turns the hue of every pixel, keeping HSV saturation and value.

    With value v (the largest channel), chroma c (less the smallest) and hue h in sixths
    of a turn, each channel of HSV is v - clip(min(k c, 4 c - k c), 0, c), where k is h
    less the channel's place on the circle, modulo 6. Since h = (difference of channels)
    / c + (place), h c needs no division.

    Args:
        image: [..., 3] in [0, 1].
        shift: in turns; +1/3 makes red green, and whole turns change nothing. 0 is the
            identity to the last bit.

    Returns:
        [..., 3] in [0, 1].
    """
    r, g, b = (image[..., c] for c in range(3))
    value = jnp.maximum(jnp.maximum(r, g), b)
    chroma = value - jnp.minimum(jnp.minimum(r, g), b)
    angle = jnp.where(  # Times the chroma, in [-1, 5] c.
        value == r,
        g - b,
        jnp.where(value == g, 2.0 * chroma + (b - r), 4.0 * chroma + (r - g)),
    )
    places = 6.0 * shift + jnp.array([5.0, 3.0, 1.0])
    places = places - 6.0 * jnp.floor(places / 6.0)
    # Wide in the channels from here on, rather than three images stacked: XLA's loops
    # over a stack choose among its parts at every pixel.
    value, chroma, angle = (x[..., None] for x in (value, chroma, angle))
    k = angle + places * chroma  # In [-1, 11) c; below 0 and above 4 c all is clipped.
    k = jnp.where(k >= 6.0 * chroma, k - 6.0 * chroma, k)
    turned = value - jnp.clip(jnp.minimum(k, 4.0 * chroma - k), 0.0, chroma)
    return jnp.where(jnp.equal(shift, 0.0), image, jnp.clip(turned, 0.0, 1.0))


def saturation_value(image: Array, saturation: Array, value: Array) -> Array:
    """HSV saturation and value, each clip(factor · x ** power + offset, 0, 1).

    A channel is v (1 - s g), where g in [0, 1] says how far it is from the largest, as
    a share of the chroma, and does not change. Grey has the hue of red, as in Python's
    `colorsys`.

    Args:
        image: [..., 3] in [0, 1].
        saturation: [3] power, which is positive, factor and offset; 1, 1, 0 is the
            identity to rounding.
        value: [3] likewise.

    Returns:
        [..., 3] in [0, 1].
    """
    largest = jnp.max(image, axis=-1, keepdims=True)
    chroma = largest - jnp.min(image, axis=-1, keepdims=True)
    share = (largest - image) / jnp.where(chroma > 0, chroma, 1.0)
    share = jnp.where(chroma > 0, share, jnp.array([0.0, 1.0, 1.0]))

    def moved(x: Array, curve: Array) -> Array:
        power, factor, offset = curve
        return jnp.clip(factor * x**power + offset, 0.0, 1.0)

    s = moved(chroma / jnp.where(largest > 0, largest, 1.0), saturation)
    return moved(largest, value) * (1.0 - s * share)


def solarize(image: Array, threshold: Scalar = 0.5) -> Array:
    """Inverts the values at or above the threshold, as Pillow's `ImageOps.solarize`."""
    return jnp.where(image >= threshold, 1.0 - image, image)
