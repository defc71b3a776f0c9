"""The whole image in a square, beside Pillow."""

import jax
import numpy as np
import pytest
from PIL import Image

from jax_ssl.augment.squeezed import squeezed


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_it_is_pillows_resize_of_the_filled_part(interpolation, rng):
    image = np.zeros((40, 60, 3), np.uint8)
    image[:30, :48] = rng.integers(0, 256, (30, 48, 3))
    example = {"image": image, "size": np.array([30, 48], np.int32)}
    view = squeezed(size=16, interpolation=interpolation)
    found = np.asarray(view(jax.random.key(0), example))
    method = Image.Resampling[interpolation.upper()]
    judge = Image.fromarray(image[:30, :48]).resize((16, 16), method)
    assert np.abs(255 * found - np.asarray(judge)).max() < 1.5


def test_settings_are_checked_and_values_standardized():
    with pytest.raises(ValueError, match="size = 0"):
        squeezed(size=0)
    view = squeezed(size=4, mean=(0.5,) * 3, std=(0.25,) * 3)
    found = view(jax.random.key(0), {"image": np.full((9, 7, 3), 255, np.uint8)})
    np.testing.assert_allclose(found, 2.0, atol=1e-6)
