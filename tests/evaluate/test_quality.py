"""Closed forms of collapsed, aligned, uniform and low-rank features."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.evaluate.quality import (
    alignment,
    participation_ratio,
    rankme,
    uniformity,
)
from jax_ssl.losses.prediction import output_std


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_alignment_is_a_power_of_the_distance(rng, alpha):
    a, b = rng.normal(size=(2, 50, 7))
    expected = np.mean(np.linalg.norm(unit(a) - unit(b), axis=1) ** alpha)
    found = alignment(jnp.asarray(a), jnp.asarray(b) * 3, alpha=alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_alignment_of_equal_and_of_opposite_views(rng):
    a = jnp.asarray(rng.normal(size=(10, 4)))
    assert alignment(a, a) == 0
    np.testing.assert_allclose(alignment(a, -a), 4, rtol=1e-6)


def test_alignment_of_independent_directions_is_two(rng):
    a, b = rng.normal(size=(2, 4000, 64))
    # The cosine has standard deviation 1/8; the mean of 4000 of them, 1/506.
    assert abs(alignment(jnp.asarray(a), jnp.asarray(b)) - 2) < 3 * 2 / 506


@pytest.mark.parametrize("block", [1, 7, 30, 100])
def test_uniformity_is_over_pairs_and_never_over_itself(rng, block):
    x = rng.normal(size=(30, 5))
    distances = ((unit(x)[:, None] - unit(x)) ** 2).sum(-1)[np.triu_indices(30, 1)]
    expected = np.log(np.mean(np.exp(-2 * distances)))
    found = uniformity(jnp.asarray(x), block=block)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_uniformity_of_collapse_and_of_random_directions(rng):
    np.testing.assert_allclose(uniformity(jnp.ones((20, 8))), 0, atol=1e-5)
    found = uniformity(jnp.asarray(rng.normal(size=(1500, 128))))
    assert abs(found - (-4 + 8 / 128)) < 0.02
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        uniformity(jnp.ones((1, 3)))


def test_rankme_counts_directions(rng):
    whitened = np.linalg.qr(rng.normal(size=(200, 12)))[0]
    np.testing.assert_allclose(rankme(jnp.asarray(whitened)), 12, rtol=1e-4)
    repeated = np.repeat(rng.normal(size=(1, 12)), 50, axis=0)
    np.testing.assert_allclose(rankme(jnp.asarray(repeated)), 1, rtol=1e-3)
    low = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 12))
    assert 1 < rankme(jnp.asarray(low)) < 3.01
    assert 11.5 < rankme(jnp.asarray(rng.normal(size=(4000, 12)))) <= 12.01
    np.testing.assert_allclose(rankme(jnp.zeros((5, 3))), 1, rtol=1e-4)


def test_rankme_is_the_entropy_of_singular_values_and_ignores_scale(rng):
    x = rng.normal(size=(40, 6)) * np.arange(1, 7)
    p = np.linalg.svd(x, compute_uv=False)
    p = p / p.sum() + 1e-7
    expected = np.exp(-(p * np.log(p)).sum())
    np.testing.assert_allclose(rankme(jnp.asarray(x)), expected, rtol=1e-5)
    turned = 100 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    np.testing.assert_allclose(rankme(jnp.asarray(turned)), expected, rtol=1e-4)


def test_spread_of_collapse_and_of_random_directions(rng):
    assert output_std(jnp.ones((20, 8))) < 1e-6
    x = rng.normal(size=(3000, 64))
    np.testing.assert_allclose(output_std(jnp.asarray(x)), 1 / 8, rtol=0.01)
    np.testing.assert_allclose(
        output_std(jnp.asarray(x)), unit(x).std(0).mean(), rtol=1e-5
    )


def test_participation_ratio_counts_equal_directions(rng):
    corners = np.concatenate([np.eye(6), -np.eye(6)])  # Unit rows, mean zero, I / 6.
    np.testing.assert_allclose(participation_ratio(jnp.asarray(corners)), 6, rtol=1e-5)
    np.testing.assert_allclose(
        participation_ratio(jnp.asarray(corners * rng.uniform(1, 9, (12, 1)))),
        6,
        rtol=1e-5,
    )
    two = np.where(rng.normal(size=(30, 1)) > 0, [[1.0, 0, 0]], [[0.6, 0.8, 0]])
    np.testing.assert_allclose(participation_ratio(jnp.asarray(two)), 1, rtol=1e-4)
    assert participation_ratio(jnp.zeros((5, 3))) == 1


def test_participation_ratio_is_of_the_covariance_about_the_mean(rng):
    x = 5 + rng.normal(size=(40, 7)) @ rng.normal(size=(7, 7))
    values = np.linalg.eigvalsh(np.cov(unit(x).T))
    expected = values.sum() ** 2 / np.square(values).sum()
    found = participation_ratio(jnp.asarray(x))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    isotropic = participation_ratio(jnp.asarray(rng.normal(size=(2000, 10))))
    assert 9.8 < isotropic <= 10.01
