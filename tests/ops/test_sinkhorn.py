import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.sinkhorn import sinkhorn
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.references import assignments as reference


@pytest.mark.parametrize(("B", "K"), [(2, 5), (16, 3), (24, 24)])
@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.5, 1), (0.2, 7)])
def test_assignment_is_the_reference(rng, B, K, epsilon, iterations):
    scores = rng.uniform(-1, 1, (B, K)).astype(np.float32)
    got = sinkhorn(scores, epsilon=epsilon, iterations=iterations)
    want = reference.sinkhorn(scores, epsilon, iterations)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_rows_sum_to_one_and_prototypes_share_the_batch(rng):
    scores = rng.uniform(-1, 1, (32, 8)).astype(np.float32)
    np.testing.assert_allclose(sinkhorn(scores).sum(1), 1, rtol=1e-5)
    many = sinkhorn(scores, epsilon=0.5, iterations=100)
    np.testing.assert_allclose(many.sum(0), 32 / 8, rtol=1e-4)


def test_laws(rng):
    scores = rng.uniform(-1, 1, (8, 8)).astype(np.float32)
    np.testing.assert_allclose(sinkhorn(np.zeros((6, 4))), 1 / 4, rtol=1e-6)
    offset = rng.normal(size=(8, 1)).astype(np.float32)
    shifted = sinkhorn(scores + offset, epsilon=0.5, iterations=60)
    plain = sinkhorn(scores, epsilon=0.5, iterations=60)
    np.testing.assert_allclose(shifted, plain, atol=1e-4)
    order = rng.permutation(8)
    hard = sinkhorn(np.eye(8, dtype=np.float32)[order], epsilon=0.01)
    np.testing.assert_allclose(hard, np.eye(8)[order], atol=1e-6)


def test_a_small_epsilon_does_not_overflow(rng):
    scores = rng.uniform(-1, 1, (8, 5)).astype(np.float32)
    assert np.isfinite(sinkhorn(scores, epsilon=1e-3)).all()


def test_no_gradient_flows(rng):
    scores = rng.uniform(-1, 1, (4, 5)).astype(np.float32)
    slope = jax.grad(lambda scores: (sinkhorn(scores) ** 2).sum())(scores)
    assert not np.any(slope)


@pytest.mark.parametrize("devices", [2, 8])
def test_the_batch_is_the_global_one(rng, devices):
    scores = rng.uniform(-1, 1, (16, 5)).astype(np.float32)
    mesh = make_mesh(devices=jax.devices()[:devices])
    with jax.set_mesh(mesh):
        rows = jax.device_put(scores, row_sharding(mesh))
        got = jax.jit(functools.partial(sinkhorn, iterations=5))(rows)
    want = reference.sinkhorn(scores, 0.05, 5)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="epsilon = 0"):
        sinkhorn(jnp.zeros((2, 2)), epsilon=0)
    with pytest.raises(ValueError, match="iterations = 0 must be at least 1"):
        sinkhorn(jnp.zeros((2, 2)), iterations=0)


def test_rows_that_do_not_count_leave_no_trace(rng):
    scores = rng.normal(size=(12, 5)).astype(np.float32)
    rows = np.arange(12) % 3 > 0
    got = sinkhorn(scores, epsilon=0.2, rows=jnp.asarray(rows))
    alone = sinkhorn(scores[rows], epsilon=0.2)
    np.testing.assert_allclose(got[rows], alone, rtol=1e-5, atol=1e-7)
    other = np.where(rows[:, None], scores, 5 * scores[::-1])
    again = sinkhorn(other, epsilon=0.2, rows=jnp.asarray(rows))
    np.testing.assert_array_equal(again[rows], got[rows])
