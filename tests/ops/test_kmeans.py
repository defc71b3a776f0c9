import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.kmeans import kmeans
from jax_ssl.ops.partitions import mutual_information
from jax_ssl.parallel.mesh import make_mesh, replicated, row_sharding
from tests.references import clustering as reference

KEY = jax.random.key(4)


@functools.partial(
    jax.jit, static_argnames=("k", "iterations", "num_rows", "spherical", "block")
)
def run(x, key=KEY, *, k=5, **settings):
    return kmeans(key, x, k, **settings)


def blobs(rng, rows=64, D=6, count=4, spread=0.05):
    """Well separated Gaussians, and which of them each row is of."""
    truth = rng.permutation(np.arange(rows) % count)
    centers = 3 * np.eye(count, D)
    return (centers[truth] + spread * rng.normal(size=(rows, D))).astype("f"), truth


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("spherical", "num_rows", "block"), [(False, 47, 16), (True, 60, 1000)]
)
def test_labels_and_centers_are_those_of_float64(rng, spherical, num_rows, block):
    x = rng.normal(size=(60, 4)).astype("f")
    x = unit(x) if spherical else x
    settings = {"num_rows": num_rows, "spherical": spherical, "block": block}
    _, first = run(x, iterations=0, **settings)
    # The first centres are rows that count, no two of them the same.
    places = [int(np.flatnonzero((x == row).all(1))[0]) for row in np.asarray(first)]
    assert len(set(places)) == 5
    assert max(places) < num_rows
    labels, centers = run(x, iterations=4, **settings)
    expected, wanted = reference.lloyd(x[:num_rows], first, 4, spherical)
    np.testing.assert_allclose(centers, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(labels[:num_rows], expected)
    np.testing.assert_array_equal(
        labels[num_rows:], reference.nearest(x, wanted)[num_rows:]
    )
    assert labels.dtype == jnp.int32


def test_cost_never_rises_and_the_end_is_a_fixed_point(rng):
    x = rng.normal(size=(60, 4)).astype("f")
    costs = []
    for iterations in (0, 1, 2, 5, 40):
        labels, centers = run(x, iterations=iterations)
        costs.append(reference.cost(x, labels, centers))
    assert np.all(np.diff(costs) <= 1e-6)
    again, same = reference.lloyd(x, centers, 1)
    np.testing.assert_array_equal(labels, again)
    np.testing.assert_allclose(centers, same, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_any_device_count_gives_the_same_clusters(devices):
    # The same rows each time: the first result is compiled once.
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("f")
    settings = {"iterations": 5, "num_rows": 59, "block": 16}
    labels, centers = run(x, **settings)
    mesh = make_mesh(devices=jax.devices()[:devices])
    with jax.set_mesh(mesh):
        found = run(jax.device_put(x, row_sharding(mesh)), **settings)
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_allclose(found[1], centers, rtol=1e-5, atol=1e-6)


def test_rows_stay_on_their_devices():
    mesh = make_mesh()
    x = jax.ShapeDtypeStruct((4096, 24), jnp.float32, sharding=row_sharding(mesh))
    cluster = functools.partial(kmeans, num_clusters=5, iterations=3, block=1024)
    with jax.set_mesh(mesh):
        compiled = jax.jit(cluster, out_shardings=replicated(mesh))
        text = compiled.lower(jax.eval_shape(lambda: KEY), x).compile().as_text()
    moves = re.findall(
        r"= (.*?) (?:all-gather|all-reduce|all-to-all|collective-permute)\(", text
    )
    moved = {size for shapes in moves for size in re.findall(r"\[([\d,]*)\]", shapes)}
    assert moved <= {"5,24", "5", "", "4096"}, moved  # Labels, and sums over rows.


def test_four_blobs_are_found(rng):
    x, truth = blobs(rng)
    # From unlucky rows Lloyd's iterations may end elsewhere; the best of a few do not.
    found = [run(x, jax.random.key(i), k=4, iterations=10) for i in range(6)]
    labels, _ = min(found, key=lambda pair: reference.cost(x, *pair))
    assert mutual_information(labels, jnp.asarray(truth)) == pytest.approx(1, abs=1e-6)


def test_an_empty_cluster_takes_rows_from_another(rng):
    # Of two centres that start among the equal rows one is left without any.
    x = np.concatenate([np.full((32, 3), 9.0), rng.normal(size=(32, 3))])
    found = {}
    for empty in ("keep", "split"):
        cluster = functools.partial(kmeans, num_clusters=3, iterations=8, empty=empty)
        cluster, keys = jax.jit(cluster), map(jax.random.key, range(6))
        found[empty] = [len(np.unique(cluster(key, x)[0])) for key in keys]
    assert min(found["keep"]) < 3
    assert min(found["split"]) == 3


def test_clusters_of_nothing_are_refused(rng):
    x = rng.normal(size=(8, 2))
    with pytest.raises(ValueError, match="num_clusters = 6 of 5 rows out of 8"):
        kmeans(KEY, x, 6, iterations=1, num_rows=5)
    with pytest.raises(ValueError, match="num_clusters = 0"):
        kmeans(KEY, x, 0, iterations=1)
    with pytest.raises(ValueError, match="iterations = -1"):
        kmeans(KEY, x, 2, iterations=-1)
    with pytest.raises(ValueError, match="empty = 'drop' must be one of 'split'"):
        kmeans(KEY, x, 2, iterations=1, empty="drop")
