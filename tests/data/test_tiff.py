import io
import itertools

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data import tiff as module
from jax_ssl.data.tiff import Page, pages
from tests.data.files import tiff


def numbers(data, factor=1):
    return Page(io.BytesIO(data)).numbers(factor)


def drawn(rng, shape, dtype):
    """Numbers that use all bytes of a dtype."""
    values = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    values = values.view(dtype)[..., 0]
    return np.nan_to_num(values) if values.dtype.kind == "f" else values


LAYOUTS = {
    "one strip": {},
    "strips": {"rows": 3},
    "deflated strips": {"rows": 3, "deflate": True},
    "tiles": {"tile": (16, 32)},
    "deflated tiles": {"tile": (16, 32), "deflate": True},
    "planes": {"planar": 2, "rows": 4},
    "planes of tiles": {"planar": 2, "tile": (16, 16), "deflate": True},
    "differences": {"predictor": 2, "deflate": True, "rows": 5},
    "differences in tiles": {"predictor": 2, "deflate": True, "tile": (16, 16)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_numbers_come_back_as_they_are(rng, layout, dtype):
    for bands, order, big in itertools.product((1, 2, 5), "<>", (False, True)):
        values = drawn(rng, (19, 37, bands), dtype)
        settings = LAYOUTS[layout]
        if dtype == "f4" and "predictor" in settings:
            settings = {**settings, "predictor": 3}
        if bands == 1:
            settings = {**settings, "planar": 1}
        found = numbers(tiff({"values": values, **settings}, order=order, big=big))
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("bits", [3, 10, 12, 14])
@pytest.mark.parametrize("bands", [1, 3])
def test_packed_numbers_are_unpacked(rng, bits, bands):
    values = rng.integers(0, 2**bits, (5, 7, bands), np.uint16)
    page = Page(io.BytesIO(tiff({"values": values, "bits": bits, "rows": 2})))
    np.testing.assert_array_equal(page.numbers(), values)
    assert page.white == 2**bits - 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_what_pillow_compresses_is_read(rng, compression):
    values = rng.integers(0, 9, (30, 40), np.uint16)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", compression=compression)
    np.testing.assert_array_equal(numbers(file.getvalue())[..., 0], values)


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("layout", ["one strip", "strips", "tiles", "planes"])
def test_a_page_is_shrunk_part_by_part(rng, monkeypatch, factor, layout):
    monkeypatch.setattr(module, "AT_ONCE", 37 * 4)  # Pixels of a few rows.
    values = drawn(rng, (19, 37, 3), "u2")
    found = numbers(tiff({"values": values, **LAYOUTS[layout]}), factor)
    height, width = -(-19 // factor), -(-37 // factor)
    assert found.shape == (height, width, 3)
    for i, j in itertools.product(range(height), range(width)):
        square = values[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
        np.testing.assert_allclose(found[i, j], square.mean((0, 1)), rtol=1e-6)


def test_smaller_copies_and_masks_are_no_pages(rng):
    values = [drawn(rng, (4, 6, 1), "u1") for _ in range(4)]
    kinds = (0, 1, 2, 4)  # A page, a smaller copy, a page of several, a mask.
    made = [{"values": v, "tag254": k} for v, k in zip(values, kinds, strict=True)]
    file = io.BytesIO(tiff(*made))
    found = pages(file)
    assert len(found) == 2
    for page, value in zip(found, (values[0], values[2]), strict=True):
        np.testing.assert_array_equal(Page(file, page).numbers(), value)
    assert len(pages(io.BytesIO(tiff({"values": values[0], "tag254": 1})))) == 1


def test_a_page_stands_alone_for_pillow(rng):
    pictures = [rng.integers(0, 256, (5, 8, 3), np.uint8) for _ in range(3)]
    first, *rest = (Image.fromarray(picture) for picture in pictures)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=rest, compression="tiff_lzw")
    for page, picture in zip(pages(file), pictures, strict=True):
        alone = Image.open(Page(file, page).alone())
        np.testing.assert_array_equal(np.asarray(alone), picture)


def test_a_bigtiff_may_be_larger_than_four_gigabytes(rng, tmp_path):
    values = rng.integers(0, 256, (4, 6, 3), np.uint8)
    data = tiff({"values": values, "photometric": 2}, big=True)
    here, there = (16).to_bytes(8, "little"), (5 * 10**9).to_bytes(8, "little")
    entry = (273).to_bytes(2, "little") + (16).to_bytes(2, "little")
    entry += (1).to_bytes(8, "little")
    assert entry + here in data
    with open(tmp_path / "big.tif", "w+b") as file:  # With a hole, so it takes none.
        file.write(data.replace(entry + here, entry + there))
        file.seek(5 * 10**9)
        file.write(values.tobytes())
        np.testing.assert_array_equal(Page(file).numbers(), values)
        alone = Image.open(Page(file).alone())
        np.testing.assert_array_equal(np.asarray(alone), values)


def test_damaged_files_end(rng):
    data = bytearray(tiff(*[{"values": drawn(rng, (4, 6, 1), "u2")}] * 2))
    for size in (6, 20, 60, len(data) - 40):
        with pytest.raises(ValueError, match="truncated"):
            pages(io.BytesIO(bytes(data[:size])))
    second = Page(io.BytesIO(bytes(data))).following
    data[-4:] = second.to_bytes(4, "little")  # The last page leads to itself.
    assert len(pages(io.BytesIO(bytes(data)))) == 2


def test_what_cannot_be_read_is_said(rng):
    values = drawn(rng, (4, 6, 2), "f4")
    for more, message in (
        ({"tag339": 6}, "format 6"),
        ({"tag259": 34887}, "2 bands of float32 .* scheme 34887"),
        ({"tag278": 3}, "do not make up the page"),
        ({"tag277": 2**20}, "1048576 bands"),
        (
            {"tag257": 2**30, "tag278": 2**30, "deflate": True},
            r"bytes cannot be 51539607552 bytes of numbers",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            numbers(tiff({"values": values, **more}))
