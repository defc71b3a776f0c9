"""A first-in, first-out queue of rows, as MoCo and SwAV keep it."""

import jax

from jax_ssl.core.types import Array
from jax_ssl.ops.normalize import l2_normalize


def random_queue(key: Array, size: int, dim: int) -> Array:
    """A queue of random unit rows, uniform on the sphere; [size, dim] float32."""
    return l2_normalize(jax.random.normal(key, (size, dim)))


def push(queue: Array, rows: Array, step: Array) -> Array:
    """Replaces the oldest rows of the queue by new ones.

    The place is a function of the step, so that there is no pointer to keep: after
    K / B steps the queue holds exactly the last K rows pushed, once each.

    Args:
        queue: [K, D].
        rows: [B, D], all of the global batch; B divides K.
        step: [] int, completed steps of the run, one push a step.

    Returns:
        [K, D] of the queue's dtype; no gradient flows into it.

    Raises:
        ValueError: if B does not divide K, naming the nearest sizes that it divides.
    """
    check_queue_size(queue.shape[0], rows.shape[0])
    turns = queue.shape[0] // rows.shape[0]
    # The remainder first: step * B may be more than an int32 holds.
    start = (step % turns) * rows.shape[0]
    rows = jax.lax.stop_gradient(rows).astype(queue.dtype)
    return jax.lax.dynamic_update_slice_in_dim(queue, rows, start, axis=0)


def check_queue_size(size: int, batch_size: int) -> None:
    """Refuses a queue that whole batches do not fill.

    Raises:
        ValueError: naming the nearest sizes that they do.
    """
    if size < 1 or size % batch_size:
        below = size // batch_size * batch_size
        good = [n for n in (below, below + batch_size) if n > 0]
        raise ValueError(
            f"queue_size = {size} is not a multiple of the {batch_size} rows pushed a "
            f"step; the nearest that are: {' and '.join(map(str, good))}."
        )
