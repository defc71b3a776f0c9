"""Decoding image files of any size, mode and orientation onto one canvas.

The host only decodes and shrinks; everything random happens on the accelerator. An
image fills the top-left corner of a square of zeros, and its "size" says how much.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, UnidentifiedImageError

# The EXIF orientation tag and what undoes each of its values (EXIF 2.3, section 4.6.4).
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    data: bytes, *, canvas: int | None, channels: int = 3, upright: bool = True
) -> np.ndarray:
    """Decodes one image file and shrinks it into a canvas.

    Palettes, grey, CMYK and 16-bit images become 8-bit; transparent pixels are laid on
    white; of an animation the first frame is taken. Images are never enlarged.

    Args:
        data: the file: JPEG, PNG, WebP, or another format that Pillow knows.
        canvas: S; the longer side is shrunk to at most S pixels, antialiased. None
            leaves the size alone.
        channels: 3 for RGB, 1 for grey.
        upright: whether to obey the EXIF orientation.

    Returns:
        [h, w, channels] uint8.

    Raises:
        Exception: of many types, if the file is broken; Pillow has no common one.

    Note:
        JPEGs are first reduced by 2, 4 or 8 while decoding, down to no less than twice
        the final size, which is several times faster for photographs.
    """
    if not data:
        raise ValueError("the file is empty")
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise ValueError(
            f"not an image of a known format; it begins with {data[:16]!r}"
        ) from None
    if canvas is not None:
        width, height = _fitted(image.size, canvas)
        image.draft(None, (2 * width, 2 * height))
    # Reading the EXIF of a PNG would load it too, and swallow what is wrong with it.
    image.load()
    image = _eight_bit(image, "RGB" if channels == 3 else "L")
    if upright:
        turn = _UPRIGHT.get(_orientation(image))
        image = image if turn is None else image.transpose(turn)
    if canvas is not None and max(image.size) > canvas:
        image = image.resize(
            _fitted(image.size, canvas), Image.Resampling.BICUBIC, reducing_gap=3.0
        )
    return np.asarray(image).reshape(image.height, image.width, channels)


def place(
    images: Sequence[np.ndarray], canvas: int, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lays images on canvases of zeros, each in the top-left corner.

    Args:
        images: n arrays [h, w, channels] uint8 with h, w <= canvas.
        canvas: S.
        channels: of all images.

    Returns:
        [n, S, S, channels] uint8 and the sizes [n, 2] int32, (height, width).
    """
    out = np.zeros((len(images), canvas, canvas, channels), np.uint8)
    sizes = np.zeros((len(images), 2), np.int32)
    for i, image in enumerate(images):
        height, width = image.shape[:2]
        out[i, :height, :width] = image
        sizes[i] = height, width
    return out, sizes


def _fitted(size: tuple[int, int], canvas: int) -> tuple[int, int]:
    longer = max(size)
    if longer <= canvas:
        return size
    width, height = (max(1, round(side * canvas / longer)) for side in size)
    return width, height


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Broken metadata does not make the pixels broken.
        return 1


def _eight_bit(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels (mode F) have no known range")
    if image.mode.startswith("I"):  # Pillow's own conversion would clip at 255.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels (mode I) have no known range")
        grey = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
        grey.info = image.info
        return grey.convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.info = image.info
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)
