"""Random tones: their chances, and what is drawn for PIRL's photometric set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jax_ssl.augment import tones
from jax_ssl.augment.steps import Blur
from jax_ssl.ops import levels
from tests import laws
from tests.references import pixels as reference
from tests.references import views

DRAWS = 3000
SINGLE = {
    "invert": (levels.invert, ImageOps.invert),
    "autocontrast": (levels.autocontrast, ImageOps.autocontrast),
    "equalize": (levels.equalize, ImageOps.equalize),
    "posterize": (
        lambda image: levels.posterize(image, 4),
        lambda image: ImageOps.posterize(image, 4),
    ),
}


@pytest.fixture(scope="module")
def bytes_():
    return views.picture(np.random.default_rng(2), 20, 20, low=10, high=200)


def many(fn, image, draws=DRAWS):
    keys = jax.random.split(jax.random.key(12), draws)
    return np.asarray(jax.jit(jax.vmap(fn, (0, None)))(keys, image))


@pytest.mark.parametrize("name", SINGLE)
def test_operation_comes_with_its_probability(bytes_, name):
    fn, judge = SINGLE[name]
    image = jnp.asarray(bytes_, jnp.float32) / 255
    out = many(lambda key, x: tones.sometimes(key, x, fn, probability=0.3), image, 1500)
    changed = (out != image).any((1, 2, 3))
    laws.has_probability(changed, 0.3)
    expected = np.asarray(judge(Image.fromarray(bytes_)), np.float64)
    assert np.abs(255 * out[changed][0] - expected).max() < 1.01


def test_sharpness_is_drawn_from_its_range(bytes_):
    """Read off a dot, whose distance from its smoothed value is multiplied."""
    dot = jnp.full((5, 5, 1), 0.5).at[2, 2].set(0.75)
    draw = {"factor": (0.1, 1.9), "probability": 0.8}
    out = many(lambda key, x: tones.random_sharpness(key, x, **draw), dot)[:, 2, 2, 0]
    smooth = (0.5 * 8 + 5 * 0.75) / 13
    factor = (out - smooth) / (0.75 - smooth)
    applied = np.abs(factor - 1) > 1e-5
    laws.has_probability(applied, 0.8)
    laws.follows_uniform(factor[applied], 0.1, 1.9)
    with pytest.raises(AssertionError):
        laws.follows_uniform(factor[applied], 0.0, 2.0)


def photometric(image, bits, factor, threshold):
    image = ImageOps.posterize(Image.fromarray(image), bits)
    image = ImageEnhance.Sharpness(image).enhance(factor)
    return np.asarray(ImageOps.autocontrast(ImageOps.solarize(image, threshold)))


def test_photometric_is_all_four_in_order_or_none(bytes_):
    image = jnp.asarray(bytes_, jnp.float32) / 255
    fn = jax.jit(tones.random_photometric)
    seen = 0
    for seed in range(12):
        key = jax.random.key(seed)
        uniform = np.asarray(jax.random.uniform(key, (4,)))
        out = 255 * np.asarray(fn(key, image))
        if uniform[0] >= 0.66:
            np.testing.assert_allclose(out, bytes_, atol=1e-4)
            continue
        bits, threshold = 4 + int(5 * uniform[1]), int(257 * uniform[3])
        expected = photometric(bytes_, bits, 0.1 + 1.8 * uniform[2], threshold)
        # A level of truncation before the threshold flips a pixel; most stay.
        assert np.median(np.abs(out - expected)) < 3
        seen += 1
    assert 4 <= seen <= 11


def test_photometric_comes_with_its_probability(bytes_):
    image = jnp.asarray(bytes_[:6, :6], jnp.float32) / 255
    out = many(tones.random_photometric, image)
    laws.has_probability((out != image).any((1, 2, 3)), 0.66)


def test_pillow_blur_draws_its_sigma_and_is_pillows(bytes_):
    image = jnp.asarray(bytes_, jnp.float32) / 255
    step = Blur(kernel="pillow", probability=0.7)
    fn, sigma_of = jax.jit(step), jax.jit(step.draw)
    seen = set()
    for seed in range(8):
        key = jax.random.key(seed)
        sigma = float(sigma_of(key))
        seen.add(sigma > 0)
        expected = reference.box_gaussian_blur(bytes_, sigma)
        np.testing.assert_allclose(255 * fn(key, image), expected, atol=2e-3)
    assert seen == {True, False}
