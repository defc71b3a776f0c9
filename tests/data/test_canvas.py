import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from jax_ssl.data.canvas import decode, place


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def smooth(height, width):
    """A picture of low frequencies, so that scaling methods agree on it."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(7 * x + 3 * y), np.cos(5 * x - 6 * y), np.sin(9 * x * y)]
    return Image.fromarray(np.uint8(127.5 + 120 * np.stack(waves, -1)))


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (6, 9, 3), np.uint8)


@pytest.mark.parametrize("format", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_files_come_back_exactly(pixels, format):
    data = encoded(Image.fromarray(pixels), format)
    np.testing.assert_array_equal(decode(data, canvas=None), pixels)
    np.testing.assert_array_equal(decode(data, canvas=9), pixels)


def test_webp_lossless_comes_back_exactly(pixels):
    data = encoded(Image.fromarray(pixels), "WEBP", lossless=True)
    np.testing.assert_array_equal(decode(data, canvas=64), pixels)


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((90, 60), (60, 40)),
        ((60, 90), (40, 60)),
        ((61, 60), (60, 59)),
        ((60, 60), (60, 60)),
        ((30, 20), (30, 20)),
        ((600, 2), (60, 1)),
    ],
)
def test_the_longer_side_is_shrunk_to_the_canvas_and_never_enlarged(size, fitted):
    image = Image.new("RGB", size, (10, 200, 30))
    out = decode(encoded(image, "PNG"), canvas=60)
    assert out.shape == (fitted[1], fitted[0], 3)
    assert (out == (10, 200, 30)).all()


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # Sampled without a filter: all black or all white.
    out = decode(encoded(Image.fromarray(stripes), "PNG"), canvas=16)
    inner = out[2:-2, 2:-2].astype(float)
    assert abs(inner - 127.5).max() < 3


def test_jpeg_reduced_while_decoding_is_close_to_the_full_decoding():
    image = smooth(700, 1000)
    data = encoded(image, "JPEG", quality=95, subsampling=0)
    out = decode(data, canvas=64)
    full = Image.open(io.BytesIO(data)).resize((64, 45), Image.Resampling.BICUBIC)
    assert out.shape == (45, 64, 3)
    assert abs(out.astype(int) - np.asarray(full)).max() <= 4


def test_jpeg_without_a_canvas_is_pillows():
    data = encoded(smooth(30, 40), "JPEG")
    judge = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data, canvas=None), judge)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(orientation):
    image = smooth(40, 60)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "JPEG", quality=95, exif=exif)
    judge = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data, canvas=60), np.asarray(judge))
    kept = decode(data, canvas=60, upright=False)
    np.testing.assert_array_equal(kept, np.asarray(Image.open(io.BytesIO(data))))


def test_orientation_holds_for_shrunk_and_transparent_images():
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: the row above lies on the right.
    image = smooth(400, 600)
    photo = decode(encoded(image, "JPEG", quality=95, exif=exif), canvas=60)
    upright = image.transpose(Image.Transpose.ROTATE_270).resize((40, 60))
    assert photo.shape == (60, 40, 3)
    assert abs(photo.astype(int) - np.asarray(upright)).mean() < 2
    image.putalpha(255)
    clear = decode(encoded(image, "PNG", exif=exif), canvas=60)
    assert abs(clear.astype(int) - np.asarray(upright)).mean() < 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_break_the_image():
    data = encoded(smooth(8, 8), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert decode(data, canvas=8).shape == (8, 8, 3)


def test_grey_palette_and_bilevel_images_become_rgb(pixels):
    grey = Image.fromarray(pixels[..., 0])
    out = decode(encoded(grey, "PNG"), canvas=None)
    np.testing.assert_array_equal(out, np.repeat(pixels[..., :1], 3, -1))
    palette = Image.fromarray(pixels).quantize(8)
    out = decode(encoded(palette, "PNG"), canvas=None)
    np.testing.assert_array_equal(out, np.asarray(palette.convert("RGB")))
    bits = Image.fromarray(pixels[..., 0] > 127)
    out = decode(encoded(bits, "PNG"), canvas=None)
    np.testing.assert_array_equal(out[..., 0], (pixels[..., 0] > 127) * np.uint8(255))


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([[0, 257, 32768], [65535, 128, 129]], np.uint16)
    out = decode(encoded(Image.fromarray(values), "PNG"), canvas=None)
    expected = np.rint(values / 65535 * 255)
    np.testing.assert_array_equal(out[..., 0], expected)
    assert (out == out[..., :1]).all()


def test_transparent_pixels_are_laid_on_white():
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    out = decode(encoded(Image.fromarray(rgba), "PNG"), canvas=None)
    assert out.tolist() == [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([1, 2, 3, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    out = decode(encoded(palette, "PNG", transparency=0), canvas=None)
    assert out.tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    out = decode(encoded(image, "JPEG", quality=95), canvas=None)
    assert out.shape == (4, 4, 3)
    assert abs(out.astype(int) - (255, 0, 0)).max() <= 3


def test_one_channel_is_the_luminance(pixels):
    out = decode(encoded(Image.fromarray(pixels), "PNG"), canvas=None, channels=1)
    assert out.shape == (6, 9, 1)
    luma = pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R 601.
    assert abs(out[..., 0] - luma).max() <= 1


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (3, 3), color) for color in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, canvas=8)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE html>"),
        (b"\x89PNG\r\n\x1a\n", "begins with"),
    ],
)
def test_what_is_no_image_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        decode(data, canvas=8)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("canvas", [None, 16])
def test_truncated_files_are_refused(format, canvas):
    data = encoded(smooth(200, 200), format)
    with pytest.raises((OSError, ValueError, SyntaxError)):
        decode(data[: len(data) // 2], canvas=canvas)


@pytest.mark.parametrize("upright", [True, False])
def test_damaged_png_data_is_refused(upright, pixels):
    data = bytearray(encoded(Image.fromarray(pixels), "PNG"))
    at = data.index(b"IDAT") + 4
    data[at : at + 26] = bytes(26)
    with pytest.raises((OSError, SyntaxError)):
        decode(bytes(data), canvas=16, upright=upright)


def test_floating_point_pixels_are_refused():
    image = Image.fromarray(np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match="no known range"):
        decode(encoded(image, "TIFF"), canvas=None)


def test_place_fills_the_corner_and_leaves_zeros(pixels):
    images, sizes = place([pixels, pixels[:2, :3]], 9, 3)
    assert sizes.tolist() == [[6, 9], [2, 3]]
    assert images.shape == (2, 9, 9, 3)
    np.testing.assert_array_equal(images[0, :6], pixels)
    np.testing.assert_array_equal(images[1, :2, :3], pixels[:2, :3])
    assert not images[0, 6:].any()
    assert not images[1, 2:].any()
    assert not images[1, :, 3:].any()
