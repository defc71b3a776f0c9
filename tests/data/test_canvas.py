import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from jax_ssl.core.fields import ON_CANVAS, Field
from jax_ssl.data import canvas as module
from jax_ssl.data.canvas import (
    canvas_report,
    fitted,
    shrink,
    sides_of,
    stack,
    stored_values,
)


def decode(data, canvas=None, **settings):
    """The pixels of a file on a square canvas, or one of (height, width)."""
    sides = None if canvas is None else sides_of(canvas)
    return module.decode(data, canvas=sides, **settings)[0]


def stacked(examples, fields):
    return stack(np.arange(len(examples)), examples.__getitem__, str, fields)


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


def test_examples_fill_the_corner_of_their_arrays(pixels):
    fields = {
        "image": Field("image", (9, 9, 3), np.uint8),
        "mask": Field("mask", (9, 9), np.uint8),
        "boxes": Field("boxes", (3, 5), np.float32),
        "label": Field("label", (), np.int32),
    }
    mask, boxes = pixels[..., 0], np.arange(10, dtype=np.float32).reshape(2, 5)
    first = {"image": pixels, "mask": mask, "boxes": boxes, "label": 4}
    second = {"image": pixels[:2, :3], "mask": mask[:2, :3], "boxes": boxes[:0]}
    rows = stacked([first, {**second, "label": 7}], fields)
    assert {name: x.shape[1:] for name, x in rows.items()} == {
        name: field.shape for name, field in fields.items()
    }
    np.testing.assert_array_equal(rows["image"][0, :6], pixels)
    np.testing.assert_array_equal(rows["image"][1, :2, :3], pixels[:2, :3])
    np.testing.assert_array_equal(rows["mask"][0, :6], mask)
    np.testing.assert_array_equal(rows["boxes"][0], [*boxes, [-1] * 5])
    for empty in (rows["image"][0, 6:], rows["image"][1, 2:], rows["image"][1, :, 3:]):
        assert not empty.any()
    assert (rows["mask"][1, 2:] == 255).all()
    assert (rows["boxes"][1] == -1).all()
    assert rows["label"].tolist() == [4, 7]


@pytest.mark.parametrize(
    ("size", "canvas", "new"),
    [
        ((375, 500), 512, (375, 500)),
        ((375, 500), 384, (288, 384)),
        ((375, 500), 256, (192, 256)),
        ((160, 213), 256, (160, 213)),
        ((375, 500), (375, 400), (300, 400)),
        ((500, 375), (375, 400), (375, 281)),
        ((80, 2000), (64, 100), (4, 100)),
        ((64, 100), (64, 100), (64, 100)),
    ],
)
def test_a_picture_is_shrunk_only_if_it_does_not_fit(size, canvas, new):
    sides = sides_of(canvas)
    factor = min(1, sides[0] / size[0], sides[1] / size[1])
    assert fitted(size, sides) == new
    assert new == tuple(max(1, round(side * factor)) for side in size)


def test_a_photograph_of_imagenet_is_left_alone_on_its_canvas():
    photograph = smooth(375, 500)
    pixels, size = module.decode(encoded(photograph, "JPEG"), canvas=(512, 512))
    assert pixels.shape == (375, 500, 3)
    assert size == (375, 500)


@pytest.mark.parametrize("turned", [1, 6])
def test_an_oblong_canvas_is_fitted_by_the_upright_image(turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    file = encoded(smooth(400, 800), "JPEG", quality=95, exif=exif)
    pixels, size = module.decode(file, canvas=(100, 300))
    upright, new = ((400, 800), (100, 200)) if turned == 1 else ((800, 400), (100, 50))
    assert size == upright
    assert pixels.shape == (*new, 3)


def test_sides_below_one_pixel_are_refused():
    with pytest.raises(ValueError, match=r"data\.canvas = \(4, 0\)"):
        sides_of((4, 0))


def test_stored_values_are_numbers_and_not_brightness(rng):
    deep = rng.integers(0, 65536, (5, 4), np.uint16)
    assert (stored_values(encoded(Image.fromarray(deep), "PNG")) == deep).all()
    indices = rng.integers(0, 20, (5, 4), np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([7 * i % 256 for i in range(3 * 20)])
    assert (stored_values(encoded(palette, "PNG")) == indices).all()


# A camera of 60 x 40 pixels that is shrunk to 24 x 16, by 0.4 along both sides.
FULL, SMALL = (40, 60), (16, 24)
KINDS = {
    "mask": Field("mask", SMALL, np.uint8),
    "depth": Field("depth", SMALL, np.float32),
    "disparity": Field("disparity", SMALL, np.float32),
    "flow": Field("flow", (*SMALL, 3), np.float32),
    "matrix": Field("matrix", (3, 3), np.float32),
    "boxes": Field("boxes", (2, 5), np.float32),
    "label": Field("label", (), np.int32),
}


def test_every_kind_is_shrunk_in_its_own_way(rng):
    example = {
        "mask": rng.integers(0, 9, FULL, np.uint8),
        "depth": rng.uniform(1, 9, FULL).astype(np.float32),
        "disparity": rng.uniform(1, 9, FULL).astype(np.float32),
        "flow": rng.normal(size=(*FULL, 3)).astype(np.float32),
        "matrix": np.float32([[50, 0.5, 29.5], [0, 45, 19.5], [0, 0, 1]]),
        "boxes": np.float32([[2, 10, 20, 30, 40], [-1, -1, -1, -1, -1]]),
        "label": np.int32(3),
    }
    out = shrink(example, KINDS, FULL, SMALL)
    assert out["size"].tolist() == [16, 24]
    np.testing.assert_array_equal(out["scale"], np.float32([16 / 40, 24 / 60]))
    # Pillow's nearest pixel judges; no pixel centre lies between two of the others.
    for name in ("mask", "depth"):
        judge = Image.fromarray(example[name]).resize(SMALL[::-1], 0)
        np.testing.assert_array_equal(out[name], np.asarray(judge))
    nearest = Image.fromarray(example["disparity"]).resize(SMALL[::-1], 0)
    np.testing.assert_allclose(out["disparity"], 0.4 * np.asarray(nearest), rtol=1e-6)
    for i, scale in enumerate((0.4, 0.4, 1)):
        nearest = Image.fromarray(example["flow"][..., i].copy()).resize(SMALL[::-1], 0)
        expected = scale * np.asarray(nearest)
        np.testing.assert_allclose(out["flow"][..., i], expected, rtol=1e-6)
    assert out["boxes"].tolist() == [[2, 4, 8, 12, 16], [-1] * 5]
    assert out["label"] == 3
    assert {name: out[name].dtype for name in KINDS} == {
        name: field.dtype for name, field in KINDS.items()
    }


@pytest.mark.parametrize("canvas", [(16, 24), (17, 20)])
def test_the_matrix_leads_to_the_shrunk_pixels(rng, canvas):
    """A point falls at the same share of the picture's sides as before."""
    camera = np.float32([[50, 0.5, 28], [0, 45, 17], [0, 0, 1]])
    out = shrink({"matrix": camera}, KINDS, FULL, canvas)
    points = rng.uniform([-1, -1, 2], [1, 1, 5], (20, 3))
    before, after = (points @ np.float64(k).T for k in (camera, out["matrix"]))
    # The centre of the first pixel is 0, so the picture begins at -1/2.
    before, after = (p[:, :2] / p[:, 2:] + 0.5 for p in (before, after))
    np.testing.assert_allclose(
        before / FULL[::-1], after / out["size"][::-1], rtol=1e-5
    )


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_and_frames_of_any_channels_are_antialiased(rng, channels):
    stripes = np.zeros((64, 64, channels), np.uint8)
    stripes[:, ::2] = 200
    fields = {
        "image": Field("image", (16, 16, channels), np.uint8),
        "frames": Field("frames", (2, 16, 16, channels), np.float32),
    }
    example = {"image": stripes, "frames": np.float32([stripes, 0 * stripes]) / 200}
    out = shrink(example, fields, (64, 64), (16, 16))
    assert abs(out["image"][2:-2, 2:-2].astype(float) - 100).max() < 3
    assert abs(out["frames"][0, 2:-2, 2:-2] - 0.5).max() < 0.02
    assert not out["frames"][1].any()
    for name, field in fields.items():
        assert out[name].shape == field.shape
        assert out[name].dtype == field.dtype


def test_pictures_of_different_sizes_are_refused(rng):
    example = {"mask": np.zeros((20, 30), np.uint8), "depth": np.zeros(FULL, "f4")}
    with pytest.raises(ValueError, match=r"mask has \(20, 30\) pixels.* \(40, 60\)"):
        shrink(example, KINDS, FULL, SMALL)


def laid(sizes, canvas):
    """The rows that images of these sizes become on a square canvas."""
    fields = {"image": Field("image", (canvas, canvas, 1), np.uint8), **ON_CANVAS}
    examples = []
    for full in sizes:
        new = fitted(full, (canvas, canvas))
        scale = np.float32(np.divide(new, full))
        examples.append({"image": np.zeros((1, 1, 1)), "size": new, "scale": scale})
    return stacked(examples, fields), fields


def test_a_report_says_what_the_canvas_took_away():
    sizes = [(375, 500)] * 30 + [(500, 375)] * 8 + [(100, 120)] * 2
    report = canvas_report(*laid(sizes, 250), resize=200)
    assert report.lacking == 38 / 40  # 188 pixels are left, and 200 are wanted.
    assert report.needed == 267  # 200 * 500 / 375 = 266.7.
    assert report.warn
    assert "on 250 x 250 pixels 95% of the images are shrunk, to 50%" in report.sentence
    assert "the shortest side left has 100 pixels" in report.sentence
    assert "set data.canvas = 267" in report.sentence
    rows, fields = laid(sizes, report.needed)
    assert canvas_report(*laid(sizes, 250), resize=(200, 300)) == report
    served = canvas_report(rows, fields, resize=200)
    assert not served.warn
    assert served.lacking == 0
    assert (rows["size"].min(1) >= np.minimum(200, np.array(sizes).min(1))).all()


def test_a_report_asks_for_no_more_than_the_files_have():
    whole = canvas_report(*laid([(100, 120)] * 5, 256), resize=224)
    assert (whole.lacking, whole.warn) == (0, False)
    assert whole.needed == 120
    assert " 0% of the images are shrunk, to 100% of their" in whole.sentence
    # One panorama among forty is no reason for a canvas three times as large.
    rare = canvas_report(*laid([(200, 250)] * 39 + [(200, 2000)], 256), resize=200)
    assert (rare.lacking, rare.warn, rare.needed) == (1 / 40, False, 250)
