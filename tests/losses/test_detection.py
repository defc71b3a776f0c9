"""FCOS' loss and targets against box by box NumPy, and laws of overlaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.detection import (
    assigned,
    centreness,
    detection_losses,
    focal_loss,
    places_of,
)
from jax_ssl.ops.boxes import best, giou, iou
from tests.references import detection as reference

PLACES = places_of([(8, 8), (4, 4), (2, 2)], (8, 16, 32), reach=2.0)
N, K = 6, 3


def drawn(rng, count):
    corner, side = rng.uniform(0, 48, (count, 2)), rng.uniform(2, 40, (count, 2))
    return np.concatenate([corner, corner + side], 1).astype(np.float32)


def truth(rng):
    classes = rng.integers(-1, K, (N, 1))
    return np.where(classes < 0, -1, np.concatenate([classes, drawn(rng, N)], 1))


def test_the_cells_of_a_pyramid_and_their_sizes():
    assert PLACES.points.shape == (64 + 16 + 4, 2)
    np.testing.assert_array_equal(
        PLACES.points[[0, 1, 8, 64]], [[4, 4], [12, 4], [4, 12], [8, 8]]
    )
    np.testing.assert_array_equal(
        PLACES.ranges[[0, 64, 80]], [[0, 16], [16, 32], [32, np.inf]]
    )


@pytest.mark.parametrize("radius", [None, 1.5])
def test_loss_and_targets_are_those_of_numpy(rng, radius):
    boxes = np.stack([truth(rng) for _ in range(4)]).astype(np.float32)
    found = jax.jit(jax.vmap(lambda row: assigned(row, PLACES, radius)))(boxes)
    wanted = [reference.targets(row, *PLACES, radius) for row in boxes]
    assert any(c >= 0 for row in wanted for c, _, _ in row)
    for b, row in enumerate(wanted):
        classes, corners, centres = zip(*row, strict=True)
        np.testing.assert_array_equal(found.classes[b], classes)
        np.testing.assert_allclose(found.boxes[b], corners, rtol=1e-6)
        np.testing.assert_allclose(found.centreness[b], centres, rtol=1e-5, atol=1e-6)
    shape = found.classes.shape
    logits = rng.normal(0, 2, (*shape, K)).astype(np.float32)
    centres = rng.normal(0, 2, shape).astype(np.float32)
    said = np.stack([drawn(rng, shape[1]) for _ in range(4)])
    terms = detection_losses(logits, said, centres, found)
    expected = reference.losses(logits, said, centres, wanted)
    np.testing.assert_allclose(terms[:3], expected, rtol=1e-5)
    assert terms.positives == (np.array(found.classes) >= 0).sum()


def test_overlaps_keep_their_bounds(rng):
    a, b = drawn(rng, 200), drawn(rng, 200)
    both, wide = iou(a, b), giou(a, b)
    assert ((wide > -1) & (wide <= both + 1e-6) & (both <= 1)).all()
    np.testing.assert_allclose(giou(a, a), 1, rtol=1e-6)
    np.testing.assert_allclose(wide, giou(b, a), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(giou(3 * a, 3 * b), wide, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        wide, [reference.giou(x, y) for x, y in zip(a, b, strict=True)], atol=1e-5
    )
    # Far boxes: no overlap, and yet a gradient that brings them together.
    far = jax.grad(lambda x: giou(x, jnp.array([50.0, 0, 60, 10])))(
        jnp.array([0.0, 0, 10, 10])
    )
    assert far[2] > 0


def test_known_values():
    np.testing.assert_allclose(
        centreness(jnp.array([[2.0, 3, 2, 3], [1, 1, 4, 1]])), [1, 0.5]
    )
    # -α (1 - 1/2)² ln 1/2.
    np.testing.assert_allclose(
        focal_loss(jnp.zeros(2), jnp.array([1, 0])),
        np.array([0.25, 0.75]) / 4 * np.log(2),
        rtol=1e-6,
    )
    plain = focal_loss(jnp.array([0.3]), jnp.ones(1), alpha=1.0, gamma=0.0)
    np.testing.assert_allclose(plain, np.log1p(np.exp(-0.3)), rtol=1e-6)


def test_of_boxes_that_overlap_the_best_of_each_class_stays():
    boxes = jnp.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]], jnp.float32)
    scores = jnp.array([[0.9, 0.3], [0.8, 0.6], [0.5, 0.01]])
    found = best(boxes, scores, candidates=6, threshold=0.5, least_score=0.05, count=5)
    expected = [[0, 0.9, 0, 0, 10, 10], [1, 0.6, 1, 0, 11, 10], [0, 0.5, 30, 0, 40, 10]]
    np.testing.assert_allclose(found[:3], expected)
    np.testing.assert_array_equal(found[3:], -1)
    loose = best(boxes, scores, candidates=6, threshold=0.9, least_score=0.05, count=9)
    assert (loose[:, 0] >= 0).sum() == 5
