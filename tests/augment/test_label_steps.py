"""RandAugment and random erasing as steps of the recipe for labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.augment.randaugment import RandAugment
from tests.references import views as reference

KEY = jax.random.key(3)


def view(**settings):
    (view,) = VIEWS["supervised"](size=40, **settings).parts()["image"]
    return view


def test_they_are_left_out_unless_asked_for():
    assert [step.name for step in view().steps] == ["standardize"]
    steps = view(rand_augment_ops=2, erase_probability=0.25).steps
    names = ["RandAugment", "standardize", "random erasing"]
    assert [step.name for step in steps] == names


def test_operations_are_those_of_rand_augment(rng):
    image = jnp.asarray(reference.picture(rng, 40, 40), jnp.float32) / 255
    step = view(rand_augment_ops=3, rand_augment_magnitude=7.0).steps[0]
    wanted = RandAugment(num_ops=3, magnitude=7.0)(KEY, image)
    np.testing.assert_array_equal(step(KEY, image), wanted)


def test_a_box_becomes_standard_normal_noise():
    erase = jax.jit(jax.vmap(view(erase_probability=0.25).steps[-1], (0, None)))
    x = jnp.full((40, 40, 3), 7.5)
    found = np.asarray(erase(jax.random.split(KEY, 2000), x))
    changed = (found != 7.5).any(-1)
    erased = changed.any((1, 2))
    assert abs(erased.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)
    areas = changed[erased].mean((1, 2))
    # Sides are rounded to whole pixels.
    assert 0.015 < areas.min() < 0.03
    assert 0.3 < areas.max() < 0.35
    rows, columns = changed.any(2).sum(1), changed.any(1).sum(1)
    np.testing.assert_array_equal(rows * columns, changed.sum((1, 2)))
    noise = found[changed]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_whole_recipe_makes_a_labelled_image(rng):
    recipe = VIEWS["supervised"](size=16, rand_augment_ops=2, erase_probability=0.25)
    example = {"image": reference.picture(rng, 32, 32), "label": jnp.int32(1)}
    made = jax.jit(lambda key, example: recipe(key, example))(KEY, example)
    assert made["image"].shape == (16, 16, 3)
    assert np.isfinite(made["image"]).all()
    assert made["label"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"rand_augment_ops": -1},
        {"rand_augment_ops": 1, "rand_augment_magnitude": 11.0},
        {"erase_probability": 2.0},
    ],
)
def test_bad_settings_are_named(bad):
    name, value = list(bad.items())[-1]
    title = {"erase_probability": "random erasing probability"}.get(name, name)
    with pytest.raises(ValueError, match=f"{title} = {value} must be"):
        VIEWS["supervised"](**bad)


def test_grayscale_images_have_no_rand_augment():
    recipe = VIEWS["supervised"](size=16, rand_augment_ops=2)
    example = {"image": np.zeros((32, 32, 1), np.uint8), "label": jnp.int32(1)}
    with pytest.raises(ValueError, match=r"1 channel.*rand_augment_ops=0"):
        recipe(KEY, example)
