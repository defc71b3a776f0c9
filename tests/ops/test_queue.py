import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.queue import push, random_queue


def test_queue_holds_the_last_rows_in_the_order_they_came():
    queue = jnp.zeros((12, 1))
    one = jax.jit(push)
    for s in range(11):
        rows = jnp.arange(4.0)[:, None] + 4 * s
        queue = one(queue, rows, jnp.int32(s))
    # The next push would take the place of the oldest rows, those of step 8.
    held = np.roll(queue, -(11 % 3) * 4, axis=0)
    np.testing.assert_array_equal(held[:, 0], np.arange(32, 44))


def test_place_is_right_where_the_rows_pushed_exceed_int32():
    step = 2**31 - 5  # Rows pushed before: 2^33.
    queue = push(jnp.zeros((12, 1)), jnp.ones((4, 1)), jnp.int32(step))
    start = step % 3 * 4
    assert np.flatnonzero(queue[:, 0]).tolist() == list(range(start, start + 4))


def test_random_queue_lies_on_the_sphere():
    queue = np.asarray(random_queue(jax.random.key(0), 4096, 8))
    np.testing.assert_allclose(np.linalg.norm(queue, axis=1), 1, rtol=1e-6)
    # Five standard deviations of a mean of 4096 coordinates of variance 1 / 8.
    assert np.abs(queue.mean(0)).max() < 5 * np.sqrt(1 / 8 / 4096)


def test_no_gradient_and_the_queue_keeps_its_dtype():
    queue = jnp.zeros((4, 2), jnp.bfloat16)
    assert push(queue, jnp.ones((2, 2)), jnp.int32(0)).dtype == jnp.bfloat16
    slope = jax.grad(lambda rows: push(jnp.zeros((4, 2)), rows, 0).sum())
    assert not slope(jnp.ones((2, 2))).any()


def test_sizes_that_batches_do_not_fill_are_refused():
    with pytest.raises(ValueError, match=r"queue_size = 10 .* 4 rows .*: 8 and 12"):
        push(jnp.zeros((10, 1)), jnp.zeros((4, 1)), 0)
