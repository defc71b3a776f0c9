"""DINO's and iBOT's cross-entropies and KoLeo, against float64 and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.distillation import (
    entropy,
    masked_cross_entropy,
    multi_crop_cross_entropy,
    sharpened,
)
from jax_ssl.losses.koleo import koleo
from tests.references import distillation as reference

crossed = jax.jit(multi_crop_cross_entropy)
crossed_graded = jax.jit(jax.value_and_grad(multi_crop_cross_entropy))
masked_graded = jax.jit(jax.value_and_grad(masked_cross_entropy))
koleo_graded = jax.jit(jax.value_and_grad(koleo), static_argnames="groups")
entropy_of = jax.jit(entropy)


def scores(rng, *shape):
    return rng.normal(0, 2, shape).astype(np.float32)


def targets_of(rng, *shape):
    return reference.softmax(rng.normal(0, 2, shape)).astype(np.float32)


@pytest.mark.parametrize(("B", "V", "K"), [(2, 2, 3), (5, 10, 7), (3, 4, 33)])
def test_multi_crop_against_every_pair(rng, B, V, K):
    logits, targets = scores(rng, B, V, K), targets_of(rng, B, 2, K)
    value, gradient = crossed_graded(logits, targets)
    wanted, slope, terms = reference.multi_crop(logits, targets.astype(np.float64))
    assert terms == 2 * (V - 1)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, atol=1e-6)


def test_multi_crop_is_entropy_plus_divergence(rng):
    logits, targets = scores(rng, 4, 6, 9), targets_of(rng, 4, 2, 9)
    value = crossed(logits, targets)
    certainty = reference.softmax(np.zeros(9))
    assert 0 < entropy_of(targets) < np.log(9)
    np.testing.assert_allclose(entropy_of(certainty[None]), np.log(9), rtol=1e-6)
    assert entropy_of(np.eye(3)) == 0
    assert value > entropy_of(targets)
    # What the teacher says of the other crop, said by the student, leaves the entropy.
    said = np.log(targets[:, ::-1])
    np.testing.assert_allclose(crossed(said, targets), entropy_of(targets), rtol=1e-5)


def test_a_uniform_student_is_at_chance_whatever_the_teacher_says(rng):
    for targets in (
        targets_of(rng, 3, 2, 65),
        np.eye(65)[rng.integers(65, size=(3, 2))],
    ):
        value = crossed(jnp.full((3, 5, 65), 4.0), targets)
        np.testing.assert_allclose(value, np.log(65), rtol=1e-5)


def test_no_gradient_reaches_the_targets(rng):
    logits, targets = scores(rng, 3, 4, 5), targets_of(rng, 3, 2, 5)
    pull = jax.jit(jax.grad(multi_crop_cross_entropy, 1))
    assert not np.any(pull(logits, targets))
    pull = jax.jit(jax.grad(lambda t: sharpened(t, 0.0, 0.1)[..., 0].sum()))
    assert not np.any(pull(targets))


def test_single_crops_are_refused():
    with pytest.raises(ValueError, match="make no pairs"):
        multi_crop_cross_entropy(jnp.zeros((2, 1, 3)), jnp.zeros((2, 1, 3)))


def test_centring_and_sharpening(rng):
    g, center = scores(rng, 6, 5), scores(rng, 5)
    got = sharpened(g, center, 0.3)
    np.testing.assert_allclose(
        got,
        reference.sharpened(g, center.astype(np.float64), 0.3),
        rtol=1e-5,
        atol=1e-7,
    )
    # A constant in all entries of the centre, or of the scores, changes nothing.
    np.testing.assert_allclose(sharpened(g + 3, center - 2, 0.3), got, atol=1e-5)


def test_masked_patches_against_every_patch(rng):
    logits, targets = scores(rng, 4, 6, 5), targets_of(rng, 4, 6, 5)
    mask = rng.uniform(size=(4, 6)) < 0.5
    mask[1] = False  # An image without a masked patch still counts in the mean.
    mask[2] = True
    value, gradient = masked_graded(logits, targets, mask)
    wanted, slope = reference.masked(logits, targets.astype(np.float64), mask)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, atol=1e-6)
    assert not np.any(gradient[1])
    assert not np.any(gradient[~mask])
    assert masked_graded(logits, targets, np.zeros_like(mask))[0] == 0


@pytest.mark.parametrize(("B", "D", "groups"), [(2, 3, 1), (12, 5, 1), (12, 5, 3)])
def test_koleo_against_float64(rng, B, D, groups):
    x = scores(rng, B, D)
    value, gradient = koleo_graded(x, groups=groups)
    np.testing.assert_allclose(value, reference.koleo(x, groups), rtol=1e-5, atol=1e-6)
    slope = reference.numeric_gradient(lambda x: reference.koleo(x, groups), x)
    np.testing.assert_allclose(gradient, slope, atol=1e-5 * max(1, abs(slope).max()))


def test_koleo_closed_forms():
    np.testing.assert_allclose(koleo(jnp.eye(5)), -np.log(2) / 2, rtol=1e-6)
    antipodes = jnp.asarray([[2.0, 0], [-3, 0]])
    np.testing.assert_allclose(koleo(antipodes), -np.log(2), rtol=1e-6)
    angle = 0.3
    pair = jnp.asarray([[1.0, 0], [np.cos(angle), np.sin(angle)]])
    distance = 2 * np.sin(angle / 2)
    np.testing.assert_allclose(koleo(pair), -np.log(distance), rtol=1e-6)


def test_koleo_of_equal_rows_is_finite():
    value, gradient = koleo_graded(jnp.ones((4, 8)))
    assert 15 < value < 18.5
    assert np.isfinite(gradient).all()


def test_koleo_needs_neighbours():
    with pytest.raises(ValueError, match="two rows or more"):
        koleo(jnp.ones((4, 2)), groups=4)
