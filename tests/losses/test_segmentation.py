"""Pixel-wise cross-entropy and its weights against float64; counts by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.segmentation import (
    agreement,
    border_weights,
    pixel_cross_entropy,
)

B, H, W, K = 2, 3, 4, 3
LOSS, AGREEMENT = jax.jit(pixel_cross_entropy), jax.jit(agreement)


@pytest.fixture
def batch(rng):
    mask = rng.integers(0, K, (B, H, W)).astype(np.uint8)
    mask[0, 1] = 255
    mask[1, 0, 0] = 255
    return rng.normal(size=(B, H, W, K), scale=3).astype(np.float32), mask


def reference(scores, mask, weights=None):
    """-Σ w log softmax, pixel by pixel, over their number."""
    total, number = 0.0, 0
    for place in np.ndindex(mask.shape):
        if mask[place] != 255:
            z = np.float64(scores[place])
            log = z - z.max() - np.log(np.exp(z - z.max()).sum())
            weight = 1.0 if weights is None else float(weights[place])
            total -= weight * log[mask[place]]
            number += 1
    return total / number


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_the_float64_mean_over_pixels_with_a_class(batch, rng, weighted):
    scores, mask = batch
    weights = rng.uniform(0, 5, mask.shape) if weighted else None
    given = None if weights is None else jnp.asarray(weights, jnp.float32)
    found = LOSS(scores, mask, given)
    assert float(found) == pytest.approx(reference(scores, mask, weights), rel=1e-5)


def test_void_has_no_gradient_and_no_pixel_no_loss(batch):
    scores, mask = batch
    both = jax.jit(jax.value_and_grad(pixel_cross_entropy))
    gradient = np.asarray(both(scores, mask)[1])
    assert not np.any(gradient[mask == 255])
    assert np.all(np.abs(gradient[mask != 255]).sum(-1) > 0)
    value, gradient = both(scores, np.full_like(mask, 255))
    assert float(value) == 0
    assert not np.any(gradient)


def test_a_class_without_a_score_is_never_taken_for_another(batch):
    scores, mask = batch
    mask[1, 2, 3] = K
    assert np.isnan(LOSS(scores, mask))


def test_equal_scores_cost_the_logarithm_of_the_classes(batch):
    _, mask = batch
    value = LOSS(np.zeros((B, H, W, K), np.float32), mask)
    assert float(value) == pytest.approx(np.log(K))


def test_weight_map_is_equation_2(batch, rng):
    _, mask = batch
    borders = rng.uniform(0, 20, mask.shape)
    table = (0.5, 2.0, 3.0)
    weigh = functools.partial(border_weights, class_weights=table, sigma=5.0)
    found = np.asarray(jax.jit(weigh)(mask, borders=borders))
    for place in np.ndindex(mask.shape):
        if mask[place] != 255:
            near = np.exp(-(borders[place] ** 2) / (2 * 5.0**2))
            expected = table[mask[place]] + 10 * near
            assert float(found[place]) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(border_weights(mask), 1)


def test_a_perfect_mask_has_an_overlap_of_one(batch):
    _, mask = batch
    scores = np.float32(mask[..., None] == np.arange(K))
    found = AGREEMENT(scores, mask)
    assert float(found.mean_iou) == float(found.pixel_accuracy) == 1


def test_overlap_is_counted_over_the_batch_and_over_what_occurs():
    true = np.array([[[0, 0], [0, 1]], [[255, 1], [1, 0]]], np.uint8)
    said = np.array([[[0, 1], [0, 1]], [[2, 1], [0, 0]]])
    found = AGREEMENT(np.float32(said[..., None] == np.arange(4)), true)
    # Class 0: 3 of 5; class 1: 2 of 4. 2 is said where nothing is known, 3 nowhere.
    assert float(found.mean_iou) == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert float(found.pixel_accuracy) == pytest.approx(5 / 7)
