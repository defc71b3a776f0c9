import numpy as np
import pytest

from jax_ssl.report.embedding import tsne_map


@pytest.fixture(scope="module")
def blobs():
    """Two Gaussian blobs in 60 dimensions, twelve deviations apart, with labels."""
    labels = np.arange(90) % 2
    points = np.random.default_rng(3).normal(size=(90, 60))
    points[:, 0] += 12.0 * labels
    return points, labels


@pytest.fixture(scope="module")
def blob_map(blobs):
    return tsne_map(blobs[0], seed=1)


def test_separated_blobs_stay_separated(blobs, blob_map):
    labels, points = blobs[1], blob_map[0]
    a, b = points[labels == 0], points[labels == 1]
    within = max(np.linalg.norm(x - x.mean(0), axis=1).max() for x in (a, b))
    assert np.linalg.norm(a.mean(0) - b.mean(0)) > 2 * within
    nearest = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(nearest, np.inf)
    np.testing.assert_array_equal(labels[nearest.argmin(1)], labels)


def test_the_same_seed_gives_the_same_map(blobs, blob_map):
    np.testing.assert_array_equal(tsne_map(blobs[0], seed=1)[0], blob_map[0])


def test_rows_are_drawn_by_the_seed(rng):
    features = rng.normal(size=(50, 3))
    first, second, other = (
        tsne_map(features, seed=seed, max_points=20)[1] for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) == 20
    assert (np.diff(first) > 0).all()
    assert (first != other).any()


@pytest.mark.parametrize("shape", [(2, 3), (4, 1), (5, 1), (7, 2), (31, 100)])
def test_few_rows_and_few_columns(rng, shape):
    points, rows = tsne_map(rng.normal(size=shape))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(rows, np.arange(shape[0]))


@pytest.mark.parametrize("count", [0, 1, 40])
def test_equal_rows_lie_on_one_point(count):
    points, _ = tsne_map(np.full((count, 6), 2.5))
    np.testing.assert_array_equal(points, np.zeros((count, 2)))
