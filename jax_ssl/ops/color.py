"""Colour operations on one RGB image with values in [0, 1].

Every operation returns values in [0, 1] again. Grey is the luma of ITU-R BT.601,
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
    """The mean luma of an image [H, W, 3], [].

    Summed in whole numbers (of 2⁻¹⁴ at 224 x 224, finer in smaller images), so that the
    result depends neither on the order of the sum nor, by it, on the device count.
    """
    num_pixels = image.shape[-3] * image.shape[-2]
    unit = 2.0 ** -(30 - num_pixels.bit_length())
    whole = jnp.round(luma(image) / unit).astype(jnp.int32)
    return whole.sum().astype(jnp.float32) * (unit / num_pixels)


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
        image: [H, W, 3].
        scale: weight of the pixel itself; 1, 0, 0, 0 is the identity, exactly.
        gray: weight of the pixel's luma.
        mean: weight of the image's mean luma.
        offset: added last.

    Returns:
        [H, W, 3] in [0, 1].
    """
    rest = gray * luma(image) + (mean * mean_luma(image) + offset)
    return jnp.clip(scale * image + rest[..., None], 0.0, 1.0)


def brightness(image: Array, factor: Scalar) -> Array:
    """clip(factor · x): 0 is black, 1 the identity."""
    return jnp.clip(factor * image, 0.0, 1.0)


def brightness_offset(image: Array, delta: Scalar) -> Array:
    """clip(x + delta): the additive form of SimCLR's first version and BYOL."""
    return jnp.clip(image + delta, 0.0, 1.0)


def contrast(image: Array, factor: Scalar) -> Array:
    """clip(m + factor · (x - m)), m the mean luma of the image [H, W, 3]."""
    return blend(image, factor, 0.0, 1.0 - factor, 0.0)


def saturation(image: Array, factor: Scalar) -> Array:
    """clip(g + factor · (x - g)), g the pixel's luma; factor 0 is `grayscale`."""
    return blend(image, factor, 1.0 - factor, 0.0, 0.0)


def rgb_to_hcv(image: Array) -> tuple[Array, Array, Array]:
    """Hue, chroma and value.

    Args:
        image: [..., 3].

    Returns:
        Hue [...] in sixths of a turn, in [-1, 5], red 0, green 2, blue 4, and 0 for
        greys; chroma [...], the largest channel less the smallest; value [...], the
        largest channel. HSV's saturation is chroma / value.
    """
    r, g, b = (image[..., c] for c in range(3))
    value = jnp.maximum(jnp.maximum(r, g), b)
    chroma = value - jnp.minimum(jnp.minimum(r, g), b)
    reciprocal = jnp.where(chroma > 0.0, 1.0 / jnp.where(chroma > 0.0, chroma, 1.0), 0)
    hue = jnp.where(
        value == r,
        (g - b) * reciprocal,
        jnp.where(value == g, 2.0 + (b - r) * reciprocal, 4.0 + (r - g) * reciprocal),
    )
    return jnp.where(chroma > 0.0, hue, 0.0), chroma, value


def hcv_to_rgb(hue: Array, chroma: Array, value: Array) -> Array:
    """The inverse of `rgb_to_hcv`; hue may be any number of sixths of a turn.

    Each channel is value - chroma · clip(min(k, 4 - k), 0, 1), with k the hue less the
    channel's place on the circle, modulo 6.
    """

    def channel(place: float) -> Array:
        k = hue + place
        k = k - 6.0 * jnp.floor(k / 6.0)
        return value - chroma * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)

    return jnp.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1)


def hue(image: Array, shift: Scalar) -> Array:
    """Turns the hue of every pixel, keeping HSV saturation and value.

    Args:
        image: [..., 3] in [0, 1].
        shift: in turns; +1/3 makes red green, and whole turns change nothing. 0 is the
            identity to the last bit.

    Returns:
        [..., 3] in [0, 1].
    """
    angle, chroma, value = rgb_to_hcv(image)
    turned = jnp.clip(hcv_to_rgb(angle + 6.0 * shift, chroma, value), 0.0, 1.0)
    return jnp.where(jnp.equal(shift, 0.0), image, turned)


def solarize(image: Array, threshold: Scalar = 0.5) -> Array:
    """Inverts the values at or above the threshold, as Pillow's `ImageOps.solarize`."""
    return jnp.where(image >= threshold, 1.0 - image, image)
