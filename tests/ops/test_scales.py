"""Pictures at other sizes, and one camera's picture out of another's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.scales import area_resize, bilinear_resize
from jax_ssl.ops.synthesis import inverse_warp

K = jnp.array([[9.0, 0, 4.3], [0, 8.0, 3.6], [0, 0, 1]])


def test_halves_are_means_of_four_pixels(rng):
    images = rng.uniform(size=(2, 3, 6, 8, 2))
    wanted = images.reshape(2, 3, 3, 2, 4, 2, 2).mean((3, 5))
    found = area_resize(jnp.asarray(images, jnp.float32), 3, 4)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_areas_keep_the_mean(rng):
    image = jnp.asarray(rng.uniform(size=(7, 9, 1)), jnp.float32)
    for height, width in ((3, 4), (5, 2), (7, 9)):
        small = area_resize(image, height, width)
        np.testing.assert_allclose(small.mean(), image.mean(), rtol=1e-6)


@pytest.mark.parametrize("size", [(8, 12), (5, 9), (4, 6)])
def test_interpolation_is_jaxs(rng, size):
    images = jnp.asarray(rng.uniform(size=(2, 4, 6, 3)), jnp.float32)
    wanted = jax.image.resize(images, (2, *size, 3), "linear", antialias=False)
    np.testing.assert_allclose(bilinear_resize(images, *size), wanted, atol=2e-5)


def test_standing_still_is_the_identity_whatever_the_depth(rng):
    """Also in the last row and column, and all of it is inside."""
    images = jnp.asarray(rng.uniform(size=(2, 3, 6, 8, 1)), jnp.float32)
    depth = jnp.asarray(rng.uniform(0.3, 50, (2, 6, 8)), jnp.float32)
    still = jnp.broadcast_to(jnp.eye(3, 4), (2, 3, 3, 4))
    cameras = jnp.broadcast_to(K, (2, 3, 3))
    shown = jax.jit(inverse_warp)(images, depth, cameras, still)
    np.testing.assert_allclose(shown.values, images, atol=1e-5)
    assert shown.inside.all()


def test_what_is_behind_a_source_is_not_inside(rng):
    image = jnp.asarray(rng.uniform(size=(1, 6, 8, 1)), jnp.float32)
    back = jnp.eye(3, 4).at[2, 3].set(-5.0)[None]
    shown = inverse_warp(image, jnp.full((6, 8), 4.0), K, back)
    assert not shown.inside.any()
    assert jnp.isfinite(shown.values).all()
