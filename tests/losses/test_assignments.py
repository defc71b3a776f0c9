"""Swapped prediction against float64 loops, and its identities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.assignments import (
    assignment_metrics,
    crop_cross_entropy,
    swapped_prediction,
)
from jax_ssl.ops.sinkhorn import sinkhorn
from tests.references import assignments as reference


def drawn(rng, B, V, K, T=2):
    """Scores of unit vectors, and codes of the first T crops."""
    scores = rng.uniform(-1, 1, (B, V, K)).astype(np.float32)
    codes = np.stack([reference.sinkhorn(scores[:, i], 0.3, 3) for i in range(T)], 1)
    return scores, codes.astype(np.float32)


@functools.cache
def compiled(temperature):
    loss = functools.partial(swapped_prediction, temperature=temperature)
    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize(
    ("B", "V", "K", "T"), [(2, 2, 3, 2), (7, 5, 11, 2), (3, 4, 2, 1)]
)
def test_value_and_gradient_match_float64_loops(rng, B, V, K, T, temperature):
    scores, codes = drawn(rng, B, V, K, T)
    value, (gradient, into_codes) = compiled(temperature)(scores, codes)
    expected, wanted = reference.swapped_prediction(scores, codes, temperature)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    error = np.linalg.norm(gradient - wanted)
    assert error <= 1e-5 * np.linalg.norm(wanted)
    assert not np.any(into_codes)


def test_reference_gradient_is_that_of_central_differences(rng):
    scores, codes = drawn(rng, 3, 4, 5)
    scores, direction = scores.astype(np.float64), rng.normal(size=scores.shape)
    loss = functools.partial(reference.swapped_prediction, codes=codes, temperature=0.3)
    ahead, behind = (loss(scores + h * direction)[0] for h in (1e-6, -1e-6))
    slope = np.sum(loss(scores)[1] * direction)
    np.testing.assert_allclose((ahead - behind) / 2e-6, slope, rtol=1e-6)


def test_every_pair_is_a_cross_entropy(rng):
    scores, codes = drawn(rng, 6, 3, 4)
    pairs = crop_cross_entropy(scores, codes, temperature=0.5)
    logs = np.log(np.asarray(jax.nn.softmax(scores / np.float32(0.5))))
    for i in range(2):
        for v in range(3):
            expected = -np.mean(np.sum(codes[:, i] * logs[:, v], -1))
            np.testing.assert_allclose(pairs[i, v], expected, rtol=1e-5)
    # The codes' own crops, pairs (0, 0) and (1, 1), are left out.
    expected = (pairs[0, 1] + pairs[0, 2] + pairs[1, 0] + pairs[1, 2]) / 4
    value = swapped_prediction(scores, codes, temperature=0.5)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_hard_targets_give_the_cross_entropy_of_labels(rng):
    scores, _ = drawn(rng, 6, 3, 4)
    labels = rng.integers(4, size=6)
    value = crop_cross_entropy(scores, np.eye(4)[labels][:, None], temperature=0.1)
    logs = jax.nn.log_softmax(scores / np.float32(0.1))
    expected = -np.asarray(logs)[np.arange(6), :, labels].mean(0)
    np.testing.assert_allclose(value[0], expected, rtol=1e-5)


def test_a_collapsed_network_has_the_log_of_the_prototypes():
    scores = jnp.full((6, 4, 30), 0.7)
    codes = jax.vmap(sinkhorn, 1, 1)(scores[:, :2])
    value, (gradient, _) = compiled(0.1)(scores, codes)
    np.testing.assert_allclose(value, np.log(30), rtol=5e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_one_answer_for_all_images_cannot_do_better(rng):
    for scale in (0.01, 0.3, 1.0):
        row = rng.uniform(-scale, scale, 30)
        scores = jnp.broadcast_to(jnp.asarray(row, jnp.float32), (6, 4, 30))
        codes = jax.vmap(sinkhorn, 1, 1)(scores[:, :2])
        value = swapped_prediction(scores, codes, temperature=0.1)
        assert value > np.log(30) - 1e-6


def test_a_high_temperature_has_the_log_of_the_prototypes(rng):
    scores, codes = drawn(rng, 6, 4, 30)
    value = swapped_prediction(scores, codes, temperature=1e7)
    np.testing.assert_allclose(value, np.log(30), rtol=1e-6)


def test_right_and_certain_predictions_have_no_loss():
    codes = jnp.broadcast_to(jnp.eye(5)[:, None], (5, 2, 5))
    scores = jnp.broadcast_to(jnp.eye(5)[:, None], (5, 4, 5))
    assert swapped_prediction(scores, codes, temperature=0.01) < 1e-6


def test_an_offset_of_a_sample_and_the_order_of_rows_do_not_matter(rng):
    scores, codes = drawn(rng, 8, 4, 5)
    value = swapped_prediction(scores, codes)
    offset = rng.normal(size=(8, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(
        swapped_prediction(scores + offset, codes), value, rtol=1e-5
    )
    order, names = rng.permutation(8), rng.permutation(5)
    shuffled = swapped_prediction(scores[order][..., names], codes[order][..., names])
    np.testing.assert_allclose(shuffled, value, rtol=1e-5)


def test_metrics_tell_use_from_collapse():
    K = 6
    certain = jnp.broadcast_to(jnp.eye(K)[:, None], (K, 2, K))
    names = ("prototype_entropy", "code_entropy", "prototypes_used")

    def found(codes):
        metrics = assignment_metrics(codes)
        return [float(metrics[name]) for name in names]

    np.testing.assert_allclose(found(certain), [np.log(K), 0, 1], atol=1e-6)
    even = jnp.full((K, 2, K), 1 / K)
    np.testing.assert_allclose(found(even), [np.log(K), np.log(K), 1 / K], rtol=1e-6)
    one = jnp.zeros((K, 2, K)).at[..., 3].set(1.0)
    np.testing.assert_allclose(found(one), [0, 0, 1 / K], atol=1e-6)


def test_bad_arguments_are_refused():
    scores, codes = jnp.zeros((4, 3, 5)), jnp.full((4, 2, 5), 0.2)
    with pytest.raises(ValueError, match="temperature = 0"):
        swapped_prediction(scores, codes, temperature=0)
    with pytest.raises(ValueError, match="must agree in rows and prototypes"):
        swapped_prediction(scores[:3], codes)
    with pytest.raises(ValueError, match="2 codes and 1 crops"):
        swapped_prediction(scores[:, :1], codes)
