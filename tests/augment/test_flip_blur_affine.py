"""Random mirror images, random blur and random affine maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, uniform

from jax_ssl.augment import affine
from jax_ssl.augment.steps import Blur
from jax_ssl.augment.tones import sometimes
from tests.references import views as reference

DRAWS = 20_000


def test_mirror_comes_with_its_probability():
    image = jnp.arange(2.0).reshape(1, 2, 1)
    keys = jax.random.split(jax.random.key(0), DRAWS)
    many = jax.vmap(lambda key: sometimes(key, image, jnp.fliplr, probability=0.3))
    assert float(jax.jit(many)(keys)[:, 0, 0, 0].mean()) == pytest.approx(
        0.3, abs=0.013
    )


def test_sigma_is_uniform_and_zero_where_left_out():
    keys = jax.random.split(jax.random.key(5), DRAWS)
    sigma = np.asarray(jax.jit(jax.vmap(Blur().draw))(keys))
    applied = sigma[sigma > 0]
    assert applied.size / DRAWS == pytest.approx(0.5, abs=0.015)
    assert kstest(applied, uniform(0.1, 1.9).cdf).pvalue > 1e-3
    assert kstest(applied, uniform(0.1, 2.0).cdf).pvalue < 1e-3


@pytest.mark.parametrize(
    ("side", "size"), [(224, 23), (96, 9), (64, 7), (32, 3), (8, 3)]
)
def test_kernel_is_an_odd_tenth_of_the_side(side, size):
    assert Blur().kernel_size(side) == size


def test_random_blur_is_the_reference_at_its_sigma(rng):
    image = rng.random((8, 8, 3)).astype(np.float32)
    step = Blur(kernel_share=0.7)
    assert step.kernel_size(8) == 5
    one, sigma_of = jax.jit(step), jax.jit(step.draw)
    seen = set()
    for seed in range(8):
        key = jax.random.key(seed)
        sigma = float(sigma_of(key))
        seen.add(sigma > 0)
        expected = reference.gaussian_blur(image, sigma, 5) if sigma else image
        np.testing.assert_allclose(one(key, image), expected, atol=2e-6)
    assert seen == {True, False}


def test_affine_matrix_is_the_inverse_of_what_content_does(rng):
    for _ in range(10):
        angle, shear = rng.uniform(-1, 1, 2)
        shift, scale = rng.uniform(-3, 3, 2), rng.uniform(0.5, 2)
        got = affine.affine_matrix(angle, jnp.asarray(shift), scale, shear)
        expected = reference.affine_matrix(angle, shift, scale, shear)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_neutral_affine_is_the_identity_to_the_last_bit(rng):
    image = rng.random((8, 8, 1)).astype(np.float32)
    same = jax.jit(affine.random_affine)(jax.random.key(0), image)
    np.testing.assert_array_equal(same, image)


def test_content_moves_the_way_the_parameters_say():
    """A dot right of the centre: turned clockwise, moved, drawn away from it."""
    dot = np.zeros((9, 9, 1), np.float32)
    dot[4, 6] = 1

    @jax.jit
    def moved(matrix, image):
        return affine.affine_sample(image, matrix)

    def where(angle=0.0, shift=(0.0, 0.0), scale=1.0, shear=0.0, image=dot):
        matrix = affine.affine_matrix(angle, jnp.array(shift), scale, shear)
        out = np.asarray(moved(matrix, image))[..., 0]
        return np.unravel_index(out.argmax(), out.shape)

    assert where(angle=np.pi / 2) == (6, 4)  # Below.
    assert where(shift=(1.0, -2.0)) == (2, 7)  # Right and up.
    assert where(scale=2.0) == (4, 8)
    assert where(shear=np.pi / 4, image=dot.transpose(1, 0, 2)) == (6, 6)


def test_affine_parameters_are_uniform():
    keys = jax.random.split(jax.random.key(2), DRAWS)

    def many(**settings):
        def one(key):
            return affine.random_affine_matrix(key, 10, 20, **settings)

        return np.asarray(jax.jit(jax.vmap(one))(keys), np.float64)

    turned = many(degrees=30.0)
    angle = np.degrees(np.arctan2(turned[:, 0, 1], turned[:, 0, 0]))
    assert kstest(angle, uniform(-30, 60).cdf).pvalue > 1e-3
    moved = many(translate=0.2)
    assert kstest(-moved[:, 0, 2], uniform(-4, 8).cdf).pvalue > 1e-3  # x: of 20 pixels.
    assert kstest(-moved[:, 1, 2], uniform(-2, 4).cdf).pvalue > 1e-3
    scaled = many(scale=(0.7, 1.4))
    assert kstest(1 / scaled[:, 0, 0], uniform(0.7, 0.7).cdf).pvalue > 1e-3
    sheared = many(shear=20.0)
    slope = np.degrees(np.arctan(-sheared[:, 0, 1]))
    assert kstest(slope, uniform(-20, 40).cdf).pvalue > 1e-3
