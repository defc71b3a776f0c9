"""The operations that `parity.py` compares, ours and the judges', with parameters."""

import colorsys
import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from jax_ssl.augment import affine, color
from jax_ssl.ops import color as colors
from jax_ssl.ops import filters, levels, resize, stencils
from jax_ssl.ops.warp import affine_transform

SIDE = 224  # Pixels.
EXACT = 0.001
FILL = (124, 116, 104)
UNIT_FILL = tuple(f / 255 for f in FILL)
CROP = resize.Box(9.0, 16.0, 190.0, 150.0)  # Top, left, height, width.
CUBIC, LINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


@dataclasses.dataclass(frozen=True)
class Case:
    """One operation with fixed parameters, ours and the judges'.

    Attributes:
        name: of the operation and its parameters.
        ours: ([H, W, 3] float32 in [0, 1], parameter) -> the same.
        parameter: a number for `ours`, traced.
        pillow: (PIL image) -> PIL image.
        torch: (functional module, [3, H, W] uint8 tensor) -> the same.
        limit: mean error in grey levels that is not to be reached.
    """

    name: str
    ours: Callable
    parameter: float = 0.0
    pillow: Callable | None = None
    torch: Callable | None = None
    limit: float = 1.0


def turned_hue(image, turns):
    """By float HSV: Pillow's own keeps the hue in 8 bits."""
    h, s, v = np.vectorize(colorsys.rgb_to_hsv)(
        *np.moveaxis(np.asarray(image) / 255, -1, 0)
    )
    rgb = np.stack(np.vectorize(colorsys.hsv_to_rgb)((h + turns) % 1.0, s, v), -1)
    return Image.fromarray(np.round(255 * rgb).astype(np.uint8))


def enhanced(kind, factor):
    return lambda image: getattr(ImageEnhance, kind)(image).enhance(factor)


def moved(coefficients, resampling):
    return lambda image: image.transform(
        image.size, Image.Transform.AFFINE, coefficients, resampling, fillcolor=FILL
    )


def rows_slanted(image, slope):
    """Row y is read `slope` times y further right, y counted from the top edge."""
    matrix = jnp.eye(2, 3).at[0, 1].set(slope).at[0, 2].set(slope * image.shape[0] / 2)
    return jnp.clip(
        affine_transform(image, matrix, method="bicubic", fill=UNIT_FILL), 0, 1
    )


def shifted(image, pixels):
    matrix = jnp.eye(2, 3).at[0, 2].set(pixels)
    return affine_transform(image, matrix, method="bilinear", fill=UNIT_FILL)


def jittered(order):
    values = (1.3, 0.7, 1.4, 0.08)

    def fn(image, parameter):
        place = jnp.int32(color.ORDERS.index(order)) + jnp.int32(parameter)
        return color.apply_jitter(image, color.Jitter(*map(jnp.float32, values), place))

    def torch_fn(F, image):
        for operation in order:
            name = ("brightness", "contrast", "saturation", "hue")[operation]
            image = getattr(F, f"adjust_{name}")(image, values[operation])
        return image

    return fn, torch_fn


def cropped(method, resampling):
    top, left, height, width = map(int, CROP)
    box = (left, top, left + width, top + height)

    def fn(image, parameter):
        box = CROP._replace(top=CROP.top + parameter)
        out = resize.crop_and_resize(image, box, SIDE, SIDE, method=method)
        return jnp.clip(out, 0, 1)

    def torch_fn(F, image):
        return F.resized_crop(
            image, top, left, height, width, [SIDE, SIDE],
            F.InterpolationMode(method), antialias=True,
        )  # fmt: skip

    return fn, lambda image: image.crop(box).resize((SIDE, SIDE), resampling), torch_fn


def shrunk(image, parameter):
    box = resize.Box(0.0 + parameter, 0.0, float(SIDE), float(SIDE))
    return jnp.clip(resize.crop_and_resize(image, box, 96, 96, method="bicubic"), 0, 1)


def taps(image, sigma):
    return filters.gaussian_blur(image, sigma, kernel_size=23)


def boxes(image, sigma):
    return stencils.box_gaussian_blur(image, sigma, max_sigma=2.0)


def erased(image, parameter):
    box = resize.Box(40.0 + parameter, 90.0, 71.0, 55.0)
    mask = resize.box_mask(box, *image.shape[:2])[..., None]
    return jnp.where(mask, 0.0, image)


def sobel_by_torch(F, image):
    import torch

    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    gray = image.float().mean(0)[None, None]
    kernels = torch.stack([kernel, kernel.T])[:, None]
    return torch.nn.functional.conv2d(gray, kernels, padding=1)[0]


def geometry():
    """Crops, resizes, turns and shifts."""
    for method, resampling in (("bilinear", LINEAR), ("bicubic", CUBIC)):
        fn, pillow, torch_fn = cropped(method, resampling)
        name = f"crop 190 x 150, resize to 224, {method}"
        yield Case(name, fn, 0.0, pillow, torch_fn)
    yield Case(
        "resize to 96, bicubic", shrunk, 0.0,
        lambda i: i.resize((96, 96), CUBIC),
        lambda F, x: F.resize(x, [96, 96], F.InterpolationMode.BICUBIC, antialias=True),
    )  # fmt: skip
    yield Case(
        "mirror", lambda x, p: jnp.where(p > 0, x, x[:, ::-1]), 0.0, ImageOps.mirror,
        lambda F, x: F.hflip(x), EXACT,
    )  # fmt: skip
    yield Case(
        "rotate 15 degrees, bilinear", lambda x, p: affine.rotate(x, p, fill=UNIT_FILL),
        15.0, lambda i: i.rotate(15, LINEAR, fillcolor=FILL),
    )  # fmt: skip
    yield Case(
        "rotate -27 degrees, bicubic",
        lambda x, p: affine.rotate(x, p, method="bicubic", fill=UNIT_FILL), -27.0,
        lambda i: i.rotate(-27, CUBIC, fillcolor=FILL),
    )  # fmt: skip
    yield Case(
        "rotate 90 degrees", affine.quarter_turn, 1, lambda i: i.rotate(90),
        lambda F, x: F.rotate(x, 90), EXACT,
    )  # fmt: skip
    slanted = moved((1, 0.27, 0, 0, 1, 0), CUBIC)
    yield Case("shear x 0.27, bicubic", rows_slanted, 0.27, slanted)
    pushed = moved((1, 0, 30.3, 0, 1, 0), LINEAR)
    yield Case("translate x 30.3, bilinear", shifted, 30.3, pushed)
    yield Case(
        "erase a box", erased, 0.0, None,
        lambda F, x: F.erase(x, 40, 90, 71, 55, 0), EXACT,
    )  # fmt: skip


def colours():
    """The parts of a colour jitter, whole ones, and grey."""
    for kind, fn, name in (
        ("Brightness", colors.brightness, "brightness"),
        ("Contrast", colors.contrast, "contrast"),
        ("Color", colors.saturation, "saturation"),
    ):
        for factor in (0.3, 1.7):
            yield Case(
                f"{name} {factor}", fn, factor, enhanced(kind, factor),
                lambda F, x, n=name, f=factor: getattr(F, f"adjust_{n}")(x, f),
            )  # fmt: skip
    for turns in (-0.1, 0.05, 0.2):
        yield Case(
            f"hue {turns:+}", colors.hue, turns, lambda i, t=turns: turned_hue(i, t),
            lambda F, x, t=turns: F.adjust_hue(x, t),
        )  # fmt: skip
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
        fn, torch_fn = jittered(order)
        # torchvision rounds down four times.
        yield Case(f"jitter in the order {order}", fn, 0.0, None, torch_fn, 2.5)
    yield Case(
        "grayscale", lambda x, p: colors.grayscale(x) + p, 0.0,
        lambda i: i.convert("L").convert("RGB"),
        lambda F, x: F.rgb_to_grayscale(x, 3),
    )  # fmt: skip


def tones():
    """What happens to single levels."""
    yield Case(
        "solarize 128", colors.solarize, 0.5, lambda i: ImageOps.solarize(i, 128),
        lambda F, x: F.solarize(x, 128), EXACT,
    )  # fmt: skip
    for bits in (4, 1):
        yield Case(
            f"posterize to {bits} bits", levels.posterize, bits,
            lambda i, b=bits: ImageOps.posterize(i, b),
            lambda F, x, b=bits: F.posterize(x, b), EXACT,
        )  # fmt: skip
    for name, fn, limit in (
        ("invert", levels.invert, EXACT),
        ("autocontrast", levels.autocontrast, 1.0),
        ("equalize", levels.equalize, EXACT),
    ):
        yield Case(
            name, lambda x, p, fn=fn: fn(x + p), 0.0, getattr(ImageOps, name),
            lambda F, x, n=name: getattr(F, n)(x), limit,
        )  # fmt: skip


def neighbourhoods():
    """Blurs, sharpness, Sobel."""
    for factor in (0.3, 1.7):
        yield Case(
            f"sharpness {factor}", stencils.sharpness, factor,
            enhanced("Sharpness", factor),
            lambda F, x, f=factor: F.adjust_sharpness(x, f),
        )  # fmt: skip
    for sigma in (0.5, 1.0, 2.0):
        yield Case(
            f"blur by 23 taps, sigma {sigma}", taps, sigma, None,
            lambda F, x, s=sigma: F.gaussian_blur(x, [23, 23], [s, s]),
        )  # fmt: skip
        pillow = lambda i, s=sigma: i.filter(ImageFilter.GaussianBlur(s))
        yield Case(f"blur by boxes, sigma {sigma}", boxes, sigma, pillow)
        # Two filters of one name: how far apart, for those who take one for the other.
        yield Case(f"(blur by 23 taps, sigma {sigma})", taps, sigma, pillow, limit=2.0)
    yield Case(
        "Sobel of the mean channel", lambda x, p: stencils.sobel(x + p), 0.0, None,
        sobel_by_torch, EXACT,
    )  # fmt: skip


def cases():
    """Every operation; nothing is computed yet."""
    return [*geometry(), *colours(), *tones(), *neighbourhoods()]
