"""Losses of mean teachers and of distillation, against float64 and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.consistency import (
    labelled_cross_entropy,
    probability_mse,
    softened_kl,
)
from tests.references import prediction as reference

B, K = 6, 5


@pytest.fixture
def scores(rng):
    return [rng.normal(0, 2, (B, K)).astype(np.float32) for _ in range(2)]


def assert_same(found, wanted):
    (value, gradient), (expected, slope) = found, wanted
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert np.linalg.norm(gradient - slope) < 1e-5 * max(np.linalg.norm(slope), 1e-3)


def test_cross_entropy_of_the_rows_with_a_label(scores, rng):
    for labels in ([0, -1, 4, 2, -1, -1], list(rng.integers(0, K, B)), [-1] * B):
        given = jnp.asarray(labels, jnp.int32)
        found = jax.value_and_grad(labelled_cross_entropy)(scores[0], given)
        assert_same(found, reference.labelled_cross_entropy(scores[0], labels))


def test_consistency_is_float64s(scores):
    found = jax.value_and_grad(probability_mse)(*scores)
    assert_same(found, reference.probability_mse(*scores))


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_soft_targets_are_float64s(scores, temperature):
    found = jax.value_and_grad(softened_kl)(*scores, temperature)
    assert_same(found, reference.softened_kl(*scores, temperature))


def test_equal_outputs_cost_nothing_and_pull_nowhere(scores):
    said = jnp.asarray(scores[0])
    for loss in (
        probability_mse,
        lambda s, t: softened_kl(s, t, 1.0),
        lambda s, t: softened_kl(s, t, 4.0),
    ):
        value, gradient = jax.value_and_grad(loss)(said, said)
        assert value == 0
        np.testing.assert_allclose(gradient, 0, atol=1e-7)
        assert loss(*scores) > 0
        # A constant added to all scores changes no probability.
        np.testing.assert_allclose(loss(said, said + 3), 0, atol=1e-5)


def test_hot_targets_match_logits(scores):
    """T → ∞: the gradient of the mean-free logits is (s - t) / K, for each row."""
    said, taught = (x - x.mean(-1, keepdims=True) for x in scores)
    wanted = (said - taught) / K / B
    off = []
    for temperature in (20.0, 200.0):
        gradient = jax.grad(softened_kl)(said, taught, temperature)
        off.append(np.linalg.norm(gradient - wanted) / np.linalg.norm(wanted))
    assert off[1] < 0.02
    assert off[1] < off[0] / 5  # It falls like 1 / T.


def test_temperature_one_is_the_plain_divergence(scores):
    p, q = (reference.softmax(np.float64(x)) for x in scores)
    wanted = (q * np.log(q / p)).sum(-1).mean()
    np.testing.assert_allclose(softened_kl(*scores, 1.0), wanted, rtol=1e-5)


def test_no_gradient_reaches_the_teacher(scores):
    for loss in (probability_mse, lambda s, t: softened_kl(s, t, 4.0)):
        assert not jax.grad(loss, argnums=1)(*scores).any()
