"""Evaluation at ImageNet's size, compiled from shapes alone for eight devices."""

import jax
import jax.numpy as jnp
import pytest

from jax_ssl.evaluate import heads
from jax_ssl.evaluate.knn import _nearest
from jax_ssl.parallel.mesh import make_mesh, replicated, row_sharding

N, TEST, WIDTH, CLASSES = 1_281_168, 50_000, 2048, 1000
HEADS, BATCH = 32, 1024
MOST = 4e9  # Bytes of a device.


@pytest.fixture(scope="module")
def mesh():
    mesh = make_mesh(devices=jax.devices()[:8])
    with jax.set_mesh(mesh):
        yield mesh


def needed(lowered):
    """Bytes of a device while the program runs."""
    stats = lowered.compile().memory_analysis()
    return (
        stats.argument_size_in_bytes
        + stats.temp_size_in_bytes
        + stats.output_size_in_bytes
        - stats.alias_size_in_bytes
    )


def test_neighbours_are_found_in_less_than_4_gb(mesh):
    def rows(*shape, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=row_sharding(mesh))

    bank, queries = rows(N, WIDTH), rows(TEST, WIDTH)
    numbers = jax.ShapeDtypeStruct((N,), jnp.int32, sharding=replicated(mesh))
    found = _nearest.lower(queries, bank, rows(N, dtype=bool), numbers, 200)
    # The bank's own share alone is 1.3 GB: the shapes above are what is compiled.
    assert N * WIDTH * 4 / 8 < needed(found) < MOST


def test_linear_heads_are_fitted_in_less_than_4_gb(mesh):
    def split(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=row_sharding(mesh))

    def whole(*shape, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=replicated(mesh))

    steps = N // BATCH
    weights = split(HEADS, WIDTH, CLASSES), split(HEADS, CLASSES)
    slots = jax.eval_shape(heads.MOMENTUM.init, weights)
    carry = jax.tree.map(lambda leaf: split(*leaf.shape), (weights, slots))
    batches = (
        whole(steps, BATCH, dtype=jnp.int32),
        whole(steps, BATCH, dtype=jnp.int32),
        whole(steps),
    )
    scaled = heads.Heads((), whole(WIDTH), whole(WIDTH))
    each = whole(HEADS), whole(HEADS)
    found = heads._steps.lower(carry, split(N, WIDTH), scaled, each, batches, True)
    assert N * WIDTH * 4 / 8 < needed(found) < MOST
    moment = heads._moment.lower(split(N, WIDTH), split(N), whole(WIDTH), 2)
    assert needed(moment) < MOST
