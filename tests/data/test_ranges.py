import re

import numpy as np
import pytest

from jax_ssl.core.fields import ON_CANVAS, Field
from jax_ssl.data.arrays import arrays
from jax_ssl.data.folder import folder
from jax_ssl.data.ranges import bounds, in_range, range_report
from tests.data.files import tiff


def reported(images, name="image", **more):
    fields = {name: Field(name, images.shape[1:], images.dtype), **ON_CANVAS}
    return range_report({name: images, **more}, fields)


@pytest.mark.parametrize(("bits", "share"), [(10, 1.6), (12, 6.2), (14, 25.0)])
def test_deep_images_use_little_of_their_range(rng, bits, share):
    """Of 2**bits in 65,536, as levels of 255 and as floats."""
    values = rng.integers(0, 2**bits, (4, 60, 60, 3)) / 65535
    for images in (np.rint(255 * values).astype(np.uint8), values.astype(np.float32)):
        for name, shown in (("image", images), ("frames", images[:, None])):
            said = reported(shown, name)
            found = float(said.partition("%")[0].rpartition(" ")[2])
            assert abs(found - share) < 0.4  # A level is 0.4 % of the range.
            assert "set data.range to" in said


def test_images_that_use_their_range_are_not_reported(rng):
    images = rng.integers(0, 256, (4, 20, 20, 1), np.uint8)
    assert reported(images) is None
    assert reported(np.uint8(images * 0.55 + 90)) is None
    flat = reported(np.uint8(images * 0.4 + 90))
    assert "between 90 and 192 of 255, 40.0% of the range" in flat
    assert range_report({}, {}) is None


def test_dead_pixels_and_the_rest_of_a_canvas_do_not_count(rng):
    dark = rng.integers(0, 17, (4, 64, 64, 1), np.uint8)
    dark[:, 0, 0] = 255
    assert "6.3%" in reported(dark)
    bright = np.zeros((4, 64, 64, 1), np.uint8)
    bright[:, :8, :8] = rng.integers(180, 256, (4, 8, 8, 1))
    sizes = np.full((4, 2), 8, np.int32)
    assert "between 180 and 255" in reported(bright, size=sizes)


def test_brightness_is_linear_between_black_and_white():
    values = np.array([-5, 0, 1, 2, 3, 4, 9])
    for dtype in ("i2", "f4", "f8"):
        found = in_range(values.astype(dtype), 0.0, 4.0, np.dtype("float32"))
        assert found.tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1]
        levels = in_range(values.astype(dtype), 0.0, 4.0, np.dtype("uint8"))
        assert levels.tolist() == [0, 0, 64, 128, 191, 255, 255]
    flat = in_range(np.float32([1, 2, 3]), 2.0, 2.0, np.dtype("uint8"))
    assert flat.tolist() == [0, 0, 255]


def test_bounds_are_numbers_or_percentiles_of_what_is_finite(rng):
    values = rng.normal(size=(50, 4)).astype(np.float32)
    finite = values[values < 1]
    values[values >= 1] = np.nan
    found = bounds(values, ("10%", "60.5%"))
    np.testing.assert_allclose(found, np.percentile(finite, (10, 60.5)), rtol=1e-6)
    assert bounds(values, (-3, 7.5)) == (-3, 7.5)
    assert bounds(np.full(3, np.nan), ("0%", "100%")) == (0, 0)


@pytest.mark.parametrize(
    ("values", "level", "said"),
    [
        (np.linspace(5000, 9000, 99), 255, r"above the upper end .*\(0, 4095\): they"),
        (np.linspace(-9, -1, 99), 0, r"below the lower end .*they are -9 to -1"),
        (np.full(99, np.nan), 0, r"are NaN or infinite as they are stored"),
    ],
)
def test_images_outside_of_their_range_are_told_their_numbers(values, level, said):
    images = np.full((2, 8, 8, 1), level, np.uint8)
    fields = {"image": Field("image", images.shape[1:], images.dtype)}
    found = range_report(
        {"image": images}, fields, range=[0, 4095], raw=lambda: [values]
    )
    assert re.search(said, found)
    assert "such as (0, 4095)" not in found


def test_sources_know_their_numbers_before_the_range(tmp_path, rng):
    deep = rng.integers(5000, 9000, (3, 6, 5, 1)).astype(np.uint32)
    for i, values in enumerate(deep):
        (tmp_path / f"{i}.tif").write_bytes(tiff({"values": values}))
    files = folder(path=str(tmp_path), canvas=8, range=(0, 4095))
    for source in (arrays({"image": deep}, range=(0, 4095)), files):
        assert (source[np.arange(3)]["image"] > 0).any()
        np.testing.assert_array_equal(np.stack(source.raw(9)), deep)
