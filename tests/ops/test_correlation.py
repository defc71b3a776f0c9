"""Cost volumes, against loops in float64."""

import jax
import numpy as np
import pytest

from jax_ssl.ops.correlation import correlation
from tests.references import geometry as reference


@pytest.mark.parametrize(("reach", "stride"), [(0, 1), (2, 1), (4, 2), (3, 2)])
def test_it_is_the_reference(rng, reach, stride):
    a, b = rng.normal(size=(2, 2, 4, 6, 3)).astype(np.float32)
    got = jax.jit(correlation, static_argnums=(2, 3))(a, b, reach, stride)
    judge = [
        reference.correlation(np.float64(one), np.float64(other), reach, stride)
        for one, other in zip(a, b, strict=True)
    ]
    assert got.shape == (2, 4, 6, (2 * (reach // stride) + 1) ** 2)
    np.testing.assert_allclose(got, judge, atol=1e-6)


def test_the_best_displacement_is_how_features_moved(rng):
    """Down by 1 and left by 2: (dy, dx) = (1, -2), in row 4 and column 1 of 7."""
    features = rng.choice([-1.0, 1.0], (1, 12, 13, 32)).astype(np.float32)
    moved = np.roll(features, (1, -2), axis=(1, 2))
    volume = np.asarray(correlation(features, moved, 3))[0, 1:-1, 2:]
    np.testing.assert_array_equal(volume.argmax(-1), 4 * 7 + 1)
    np.testing.assert_allclose(volume.max(-1), 1)


def test_gradients_are_those_of_the_sums(rng):
    """The volume is linear in each map: its derivative along v is that of v."""
    a, b, v = rng.normal(size=(3, 1, 4, 5, 2)).astype(np.float32)
    weight = rng.normal(size=(1, 4, 5, 25)).astype(np.float32)

    @jax.jit
    def total(a, b):
        return (weight * correlation(a, b, 2)).sum()

    to_a, to_b = jax.jit(jax.grad(total, (0, 1)))(a, b)
    np.testing.assert_allclose((to_a * v).sum(), total(v, b), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((to_b * v).sum(), total(a, v), rtol=1e-4, atol=1e-5)
