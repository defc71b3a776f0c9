import io
import os
import re
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, features

from jax_ssl.data.bands import count_of
from jax_ssl.data.canvas import decode
from jax_ssl.data.images import open_file, pages
from jax_ssl.data.source import UnsetError
from tests.data.files import png, tiff


def bytes_of(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels(data, **settings):
    return decode(data, **settings)[0]


def levels(values, low, high):
    """The nearest of 256 levels, by arithmetic alone."""
    share = (np.asarray(values, np.float64) - low) / (high - low)
    return np.rint(255 * share.clip(0, 1))


def pgm(values, white):
    kind = 5 if values.shape[-1] == 1 else 6
    head = f"P{kind}\n# made\n{values.shape[1]} {values.shape[0]}\n{white}\n"
    return head.encode() + values.astype(">u2").tobytes()


# By the format: a file of numbers [h, w, bands] of 16 bits.
DEEP = {
    "PNG": png,
    "TIFF": lambda x: tiff({"values": x, "photometric": 1 + (x.shape[-1] == 3)}),
    "TIFF, deflated": lambda x: tiff(
        {"values": x, "photometric": 1 + (x.shape[-1] == 3), "deflate": True}
    ),
    "TIFF, big-endian": lambda x: tiff(
        {"values": x, "photometric": 1 + (x.shape[-1] == 3), "rows": 2}, order=">"
    ),
    "PNM": lambda x: pgm(x, 65535),
}


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("format", DEEP)
def test_a_range_keeps_the_levels_of_deep_images(rng, format, bits, bands):
    values = rng.integers(0, 2**bits, (6, 9, bands), np.uint16)
    data, white = DEEP[format](values), 2**bits - 1
    whole = np.broadcast_to(levels(values, 0, white), (6, 9, 3))
    np.testing.assert_array_equal(pixels(data, range=(0, white)), whole)
    plain = np.broadcast_to(levels(values, 0, 65535), (6, 9, 3))
    np.testing.assert_array_equal(pixels(data), plain)


def test_a_ramp_of_twelve_bits_keeps_all_of_its_levels():
    ramp = np.tile(np.round(np.linspace(0, 4095, 64)), (8, 1)).astype(np.uint16)
    found = pixels(bytes_of(Image.fromarray(ramp), "PNG"), range=(0, 4095))
    assert found.max() == 255
    assert len(np.unique(found)) == 64


@pytest.mark.parametrize("format", DEEP)
def test_percentiles_are_those_of_the_image(rng, format):
    values = rng.integers(500, 800, (10, 20, 3), np.uint16)
    values[0, 0] = 65535  # A dead pixel.
    low, high = np.percentile(values, (5, 95))
    found = pixels(DEEP[format](values), range=("5%", "95%"))
    np.testing.assert_array_equal(found, levels(values, low, high))
    mixed = pixels(DEEP[format](values), range=(0, "95%"))
    np.testing.assert_array_equal(mixed, levels(values, 0, high))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i4", "u4"])
def test_numbers_without_a_known_range_need_one(rng, dtype):
    values = (200 * rng.random((6, 9, 1)) - 50).astype(dtype)
    data = tiff({"values": values})
    name = np.dtype(dtype).name
    with pytest.raises(UnsetError, match=rf"{name}, which have no known .*data\.range"):
        pixels(data)
    found = pixels(data, range=(-50, 150), channels=1)
    np.testing.assert_array_equal(found, levels(values, -50, 150))


def test_numbers_that_are_no_data_are_black():
    values = np.float32([[[np.nan], [-np.inf], [0], [1], [2], [np.inf]]])
    data = tiff({"values": values})
    assert pixels(data, range=(0, 2), channels=1).ravel().tolist() == [
        *(0, 0, 0, 128, 255, 255)
    ]
    found = pixels(data, range=("0%", "100%"), channels=1)
    assert found.ravel().tolist() == [0, 0, 0, 128, 255, 255]
    empty = tiff({"values": values[:, :1]})
    assert pixels(empty, range=("0%", "100%")).max() == 0


def test_images_of_eight_bits_keep_their_own_range_where_it_does_not_reach():
    image = Image.fromarray(np.uint8([[0, 50, 100, 200]]))
    for data in (bytes_of(image, "PNG"), bytes_of(image, "TIFF")):
        for given, expected in (
            ((0, 4095), [0, 50, 100, 200]),
            ((0, 100), [0, 128, 255, 255]),
            (("0%", "100%"), [0, 64, 128, 255]),
        ):
            assert pixels(data, range=given)[0, :, 0].tolist() == expected


def test_small_numbers_may_be_bright(rng):
    values = rng.integers(0, 4096, (6, 9, 1), np.uint16)
    data = tiff({"values": values, "photometric": 0})
    expected = 255 - levels(values, 0, 4095)
    np.testing.assert_array_equal(pixels(data, range=(0, 4095), channels=1), expected)


@pytest.mark.parametrize(("kind", "bands"), [("png", 2), ("png", 4), (2, 4), (1, 4)])
def test_deep_pictures_with_alpha_are_laid_on_white(rng, kind, bands):
    """By the definition of alpha: 2 of TIFF's extra samples, 1 if premultiplied."""
    values = rng.integers(0, 4096, (6, 9, bands), np.uint16)
    values[..., -1] = rng.integers(0, 65536, (6, 9))
    colour, alpha = values[..., :-1] / 4095, values[..., -1:] / 65535
    data = (
        png(values)
        if kind == "png"
        else tiff({"values": values, "photometric": 2, "extra": [kind]})
    )
    lit = (colour if kind == 1 else colour * alpha) + 1 - alpha
    found = pixels(data, range=(0, 4095)).astype(float)
    assert abs(found - 255 * lit.clip(0, 1)).max() < (3 if kind == 1 else 1.6)


def test_a_deep_png_may_have_one_transparent_colour(rng):
    values = rng.integers(0, 65536, (4, 5, 3), np.uint16)
    data = png(values)
    body = b"tRNS" + values[1, 2].astype(">u2").tobytes()
    chunk = struct.pack(">I", 6) + body + struct.pack(">I", zlib.crc32(body))
    at = data.index(b"IDAT") - 4
    found = pixels(data[:at] + chunk + data[at:])
    expected = levels(values, 0, 65535)
    expected[1, 2] = 255
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bands", [3, 5])
def test_deep_and_many_banded_images_are_set_upright_as_others_are(
    rng, orientation, bands
):
    values = rng.integers(0, 256, (4, 7, bands), np.uint8)
    tag = {"tag274": orientation}
    plain = {"values": values[..., :3], "photometric": 2, **tag}
    pillow = Image.open(io.BytesIO(tiff(plain)))
    pillow.load()  # Sets it upright.
    deep = {"values": values.astype(np.uint16) * 257, "photometric": 1, **tag}
    found, size = decode(tiff(deep), channels=(0, 1, 2))
    np.testing.assert_array_equal(found, np.asarray(pillow))
    assert size == found.shape[:2]


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("bands", [2, 5, 13])
def test_any_number_of_bands_is_read(rng, bands, planar):
    values = rng.integers(0, 256, (6, 9, bands), np.uint8)
    data = tiff({"values": values, "planar": planar})
    np.testing.assert_array_equal(pixels(data, channels=bands), values)
    np.testing.assert_array_equal(pixels(data, channels=(1, 0)), values[..., [1, 0]])
    small = pixels(data, channels=bands, canvas=(3, 3))
    assert small.shape == (2, 3, bands)
    for i in range(bands):
        judge = Image.fromarray(values[..., i]).resize((3, 2), Image.Resampling.BICUBIC)
        assert abs(small[..., i].astype(int) - np.asarray(judge)).max() <= 1


def test_bands_that_no_setting_reads_are_named(rng):
    def refused(message, data, channels):
        with pytest.raises(UnsetError, match=message):
            pixels(data, channels=channels)

    values = rng.integers(0, 256, (6, 9, 5), np.uint8)
    grey = tiff({"values": values})
    for channels in (1, 3, 4, (0, 5)):
        refused(r"5 bands \(grey, 4 without a name\).*channels = 5", grey, channels)
    coloured = tiff({"values": values, "photometric": 2, "extra": [2, 0]})
    refused(r"5 bands \(red, green, blue, alpha, 1 without", coloured, 3)
    # Near infrared, say, and no alpha: it must not be dropped unseen.
    four = tiff({"values": values[..., :4], "photometric": 2, "extra": [0]})
    refused(r"4 bands \(red, green, blue, 1 without", four, 3)
    np.testing.assert_array_equal(pixels(four, channels=(0, 1, 2)), values[..., :3])
    rgb = bytes_of(Image.fromarray(values[..., :3]), "PNG")
    refused(r"3 bands \(red, green, blue\), and data\.channels = 5", rgb, 5)
    for wrong in (0, -1, (), (0, -1)):
        said = re.escape(f"data.channels = {wrong}")
        with pytest.raises(ValueError, match=said):
            count_of(wrong)


@pytest.mark.parametrize(
    ("bands", "advised"), [(1, "(0,)"), (2, "(0, 1)"), (5, "(0, 1, 2)")]
)
def test_the_bands_that_are_advised_exist(bands, advised):
    file = tiff({"values": np.zeros((6, 9, bands), np.uint8)})
    with pytest.raises(UnsetError, match=re.escape(f"such as {advised}")):
        pixels(file, channels=7)


def test_the_bands_of_pictures_are_numbers_where_that_is_asked(rng):
    values = rng.integers(0, 256, (4, 5, 4), np.uint8)
    rgba = bytes_of(Image.fromarray(values), "PNG")
    np.testing.assert_array_equal(pixels(rgba, channels=4), values)
    np.testing.assert_array_equal(pixels(rgba, channels=(3, 1)), values[..., [3, 1]])
    palette = Image.fromarray(values[..., :3]).quantize(8)
    found = pixels(bytes_of(palette, "PNG"), channels=(2,))
    expected = np.asarray(palette.convert("RGB"))[..., 2:]
    np.testing.assert_array_equal(found, expected)


def smooth(side):
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(7 * x + 3 * y), np.cos(5 * x - 6 * y), np.sin(9 * x * y)]
    return np.uint8(127.5 + 120 * np.stack(waves, -1))


# Files that can be read in fewer pixels, by format.
LARGE = {
    "JPEG": lambda x: bytes_of(Image.fromarray(x), "JPEG", quality=95, subsampling=0),
    "TIFF": lambda x: tiff({"values": x, "photometric": 2, "rows": 16}),
    "TIFF, deflated": lambda x: tiff(
        {"values": x, "photometric": 2, "deflate": True, "tile": (48, 64)}
    ),
    "TIFF, of Pillow's": lambda x: bytes_of(
        Image.fromarray(x), "TIFF", compression="jpeg", quality=95, strip_size=2**14
    ),
    "TIFF, deep": lambda x: tiff(
        {"values": x.astype(np.uint16) * 257, "photometric": 2, "rows": 16}
    ),
    "JPEG2000": lambda x: bytes_of(Image.fromarray(x), "JPEG2000"),
}


@pytest.mark.parametrize("format", LARGE)
def test_large_files_are_read_in_fewer_pixels(format):
    if format == "JPEG2000" and not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    image = smooth(300)
    data, limit = LARGE[format](image), 0.03  # Million pixels; the file has 0.09.
    judge = Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)
    found, size = decode(data, canvas=(32, 32), max_megapixels=limit)
    assert size == (300, 300)
    assert abs(found.astype(int) - np.asarray(judge)).max() <= 6
    assert abs(found.astype(int) - np.asarray(judge)).mean() < 1.5
    # At this size all of its pixels are needed.
    with pytest.raises(UnsetError, match=r"300 x 300 .*set data\.max_megapixels = 1"):
        decode(data, canvas=(300, 300), max_megapixels=limit)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "PPM"])
def test_files_above_the_limit_are_refused_before_they_are_decoded(format):
    data = bytes_of(Image.new("RGB", (300, 200)), format)
    with pytest.raises(UnsetError) as error:
        decode(data, canvas=(32, 32), max_megapixels=0.05)
    said = str(error.value)
    assert "200 x 300 pixels" in said
    assert f"this {format} cannot be read in fewer" in said
    assert "set data.max_megapixels = 1 (now 0.05)" in said
    assert "corrupt" not in said
    assert decode(data, canvas=(32, 32), max_megapixels=0.06)[1] == (200, 300)


@pytest.mark.filterwarnings("error")
def test_pillows_own_limit_neither_warns_nor_refuses(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert pixels(bytes_of(Image.new("RGB", (30, 20)), "PNG")).shape == (20, 30, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"8BPS\0\1" + bytes(40),
        b"SIMPLE  =                    T" + bytes(2880),
    ],
)
def test_formats_that_are_not_listed_are_not_opened(data):
    with pytest.raises(ValueError, match=r"not an image of a format .*JPEG, PNG"):
        pixels(data)


def test_pages_are_those_of_tiffs_and_frames_those_of_animations():
    frames = [Image.new("RGB", (4, 4), (90 * i, 0, 0)) for i in range(3)]
    for format in ("GIF", "TIFF", "PNG", "WEBP"):
        data = bytes_of(
            frames[0], format, save_all=True, append_images=frames[1:], lossless=True
        )
        found = pages(io.BytesIO(data))
        assert len(found) == 3
        for i, page in enumerate(found):
            assert pixels(data, page=page)[0, 0].tolist() == [90 * i, 0, 0]
        assert len(pages(io.BytesIO(bytes_of(frames[0], format)))) == 1
    # The second picture in a camera's file is a preview.
    camera = bytes_of(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert len(pages(io.BytesIO(camera))) == 1


def test_nothing_that_could_wait_is_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "system").symlink_to("/proc/self/status")  # A regular file of size 0.
    (tmp_path / "empty").touch()
    for name, message in (
        ("fifo", "a FIFO, a device or a socket"),
        ("device", "a FIFO, a device or a socket"),
        ("system", "the file is empty"),
        ("empty", "the file is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            open_file(str(tmp_path / name))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))  # The name must be short.
        with pytest.raises(OSError, match="socket"):
            open_file(str(tmp_path / "socket"))
    with pytest.raises(IsADirectoryError):
        open_file(str(tmp_path))
