"""Suppression of overlapping boxes, beside a loop of NumPy and a chain by hand."""

import jax
import numpy as np
import pytest

from jax_ssl.ops.boxes import suppressed


def overlap(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.maximum(high - low, 0))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


def by_numpy(boxes, classes, scores, threshold):
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        rivals = [j for j in kept if classes[j] == classes[i]]
        near = any(overlap(boxes[i], boxes[j]) > threshold for j in rivals)
        if scores[i] > 0 and not near:
            kept.append(i)
    return np.isin(np.arange(len(boxes)), kept)


def test_a_box_stays_where_its_rival_has_gone():
    """IoUs: 1/2 of neighbours in the chain, 1/5 of its ends."""
    boxes = np.array([[0, 0, 3, 1], [1, 0, 4, 1], [2, 0, 5, 1]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    stays = suppressed(boxes, np.zeros(3, int), scores, 0.4)
    assert stays.tolist() == [True, False, True]
    assert suppressed(boxes, np.zeros(3, int), scores, 0.5).all()  # Not above it.
    assert suppressed(boxes, np.arange(3), scores, 0.4).all()


@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_suppression_is_a_loop_over_falling_scores(rng, threshold):
    corner = rng.uniform(0, 10, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(3, 8, (60, 2))], 1)
    boxes = boxes.astype(np.float32)
    classes = rng.integers(0, 2, 60)
    scores = rng.random(60).round(1).astype(np.float32)  # Some equal, some 0.
    expected = by_numpy(boxes, classes, scores, threshold)
    assert 0 < expected.sum() < 60
    stays = jax.jit(suppressed)(boxes, classes, scores, threshold)
    np.testing.assert_array_equal(stays, expected)
