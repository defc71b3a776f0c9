"""The picture of a recipe's operations: what is drawn."""

import jax
import numpy as np

from jax_ssl.augment import VIEWS
from jax_ssl.augment.shown import operations
from tests.references import views as reference


def test_each_operation_is_shown_alone_and_for_certain(rng):
    image = reference.picture(rng, 16, 16)
    recipe = VIEWS["byol"](size=8, blur_probability=(1e-9, 1e-9))
    shown = operations(recipe, jax.random.key(0), {"image": image}, draws=2)
    steps = ["color jitter", "grayscale", "blur", "solarize"]
    assert list(shown) == ["image", "crop, flip, 8", *steps, "view 1", "view 2"]
    middle = np.asarray(shown["image"])
    expected = reference.crop_and_resize(image, (0, 0, 16, 16), 8, 8, "bicubic")
    np.testing.assert_allclose(middle[0], np.clip(expected / 255, 0, 1), atol=1e-4)
    for title, drawn in shown.items():
        assert drawn.shape == (2, 8, 8, 3)
        assert drawn.min() >= 0  # Nothing is standardized.
        assert drawn.max() <= 1
        assert title == "image" or np.abs(drawn - middle).max() > 1e-3
    gray = reference.luma(middle)[..., None].repeat(3, -1)
    np.testing.assert_allclose(shown["grayscale"], gray, atol=1e-5)
