"""Colour jitter: the law of its parameters and orders, and the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare, kstest, uniform

from jax_ssl.augment import color
from jax_ssl.augment.steps import ColorJitter, Grayscale, Solarize
from tests.references import views as reference

DRAWS = 24_000
FORMS = ("multiplicative", "additive")
AMOUNTS = (0.8, 0.4, 1.2, 0.2)


def drawn(probability, **settings):
    keys = jax.random.split(jax.random.key(3), DRAWS)
    step = ColorJitter(amounts=AMOUNTS, probability=probability, **settings)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(step.draw))(keys))


@pytest.mark.parametrize("form", FORMS)
def test_parameters_are_uniform_in_their_ranges(form):
    jitter = drawn(1.0, brightness=form)
    additive = form == "additive"
    first = (-0.8, 0.8) if additive else (0.2, 1.8)
    assert (jitter.brightness == 1).all() == additive
    assert (jitter.offset == 0).all() != additive
    factors = [jitter.offset if additive else jitter.brightness, *jitter[1:4]]
    ranges = [first, (0.6, 1.4), (0.0, 2.2), (-0.2, 0.2)]
    for values, (low, high) in zip(factors, ranges, strict=True):
        assert kstest(values, uniform(low, high - low).cdf).pvalue > 1e-3
        # A range one part in fifty too wide would have been found out.
        wrong = uniform(low * 0.98, (high - low) * 1.02 + 0.02 * abs(low))
        assert kstest(values, wrong.cdf).pvalue < 1e-3


def test_every_order_is_as_likely():
    counts = np.bincount(drawn(1.0).order, minlength=24)
    assert len(set(color.ORDERS)) == 24
    assert chisquare(counts).pvalue > 1e-3


def test_jitter_is_left_out_with_the_remaining_probability():
    jitter = drawn(0.8)
    left_out = np.all(np.stack(jitter[:4], 1) == [1, 1, 1, 0], axis=1)
    assert left_out.mean() == pytest.approx(0.2, abs=0.01)  # Four standard errors.


def jitter_of(form, values, order):
    """The first value is a factor, or an offset in the additive form."""
    values = tuple(map(jnp.float32, values))
    if form == "multiplicative":
        return color.Jitter(*values, order, offset=jnp.float32(0))
    return color.Jitter(jnp.float32(1), *values[1:], order, offset=values[0])


@pytest.fixture(scope="module")
def apply():
    axes = color.Jitter(None, None, None, None, 0, None)
    return jax.jit(jax.vmap(color.apply_jitter, (None, axes)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hue", [0.15, -0.2])
def test_jitter_applies_its_operations_in_each_of_the_orders(rng, apply, form, hue):
    image = reference.picture(rng, 6, 5).astype(np.float32) / 255
    additive = form == "additive"
    values = (-0.3 if additive else 1.6, 0.5, 1.7, hue)
    got = apply(image, jitter_of(form, values, jnp.arange(24)))
    expected = [
        reference.jitter(image, values, order, additive) for order in color.ORDERS
    ]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    # Clipping makes the order matter: no two of the 24 pictures are one.
    flat = np.reshape(expected, (24, -1))
    distance = np.abs(flat[:, None] - flat[None]).max(-1) + np.eye(24)
    assert distance.min() > 1e-3


def test_neutral_jitter_is_the_identity_to_the_last_bit(rng, apply):
    image = reference.picture(rng, 6, 5).astype(np.float32) / 255
    for form, neutral in (("multiplicative", 1), ("additive", 0)):
        same = apply(image, jitter_of(form, (neutral, 1, 1, 0), jnp.arange(24)))
        np.testing.assert_array_equal(same, np.broadcast_to(image, same.shape))


def shares(fn, image):
    """Whether each of 4,000 draws changed the image."""
    keys = jax.random.split(jax.random.key(0), 4000)
    out = jax.jit(jax.vmap(fn, (0, None)))(keys, image)
    return np.asarray(out), np.any(out != image, axis=(1, 2, 3))


def test_grayscale_comes_with_its_probability(rng):
    image = reference.picture(rng, 2, 3).astype(np.float32) / 255
    out, gray = shares(Grayscale(), image)
    assert gray.mean() == pytest.approx(0.2, abs=0.025)
    expected = reference.luma(image.astype(np.float64))[..., None].repeat(3, -1)
    np.testing.assert_allclose(out[gray][0], expected, atol=1e-6)


def test_solarize_comes_with_its_probability(rng):
    image = reference.picture(rng, 2, 3).astype(np.float32) / 255
    out, changed = shares(Solarize(), image)
    assert changed.mean() == pytest.approx(0.2, abs=0.025)
    expected = np.where(image < 0.5, image, 1 - image)
    np.testing.assert_allclose(out[changed][0], expected, atol=1e-6)


def test_unknown_form_of_brightness_is_refused():
    with pytest.raises(ValueError, match="'gamma'"):
        ColorJitter(brightness="gamma")
