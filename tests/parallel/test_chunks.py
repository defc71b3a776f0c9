"""Chunks: the same numbers in less memory, with no more talk between devices."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import simclr
from jax_ssl.parallel.chunks import chunk_count, in_chunks, map_chunks, row_numbers
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from jax_ssl.train.step import init, train_step
from tests.images import plain_views

SGD = optax.sgd(0.1)


def mesh_of(devices):
    return make_mesh(devices=jax.devices()[:devices])


class TestMapChunks:
    @staticmethod
    def fn(whole, chunk):
        x, scale = chunk
        rows = row_numbers(len(x))
        return {"y": jnp.tanh(x * whole) * scale, "row": rows[:, None]}

    @pytest.mark.parametrize(("devices", "chunks"), [(1, 4), (2, 3), (4, 2), (8, 3)])
    def test_results_keep_their_order_and_their_numbers(self, rng, devices, chunks):
        x = rng.normal(size=(24, 3)).astype(np.float32)
        w = rng.normal(size=3).astype(np.float32)

        @jax.jit
        def run(w, x):
            with in_chunks(chunks):
                return map_chunks(self.fn, w, (x, jnp.float32(2)))

        mesh = mesh_of(devices)
        with jax.set_mesh(mesh):
            got = run(w, jax.device_put(x, row_sharding(mesh)))
        np.testing.assert_allclose(got["y"], 2 * np.tanh(x * w), rtol=1e-5)
        np.testing.assert_array_equal(got["row"][:, 0], np.arange(24))

    @pytest.mark.parametrize("devices", [1, 4])
    def test_gradients_are_those_of_all_rows_at_once(self, rng, devices):
        x = rng.normal(size=(16, 3)).astype(np.float32)
        w = rng.normal(size=3).astype(np.float32)

        def loss(w, x):
            with in_chunks(2):
                return jnp.sum(map_chunks(self.fn, w, (x, jnp.float32(1)))["y"] ** 2)

        mesh = mesh_of(devices)
        with jax.set_mesh(mesh):
            x_rows = jax.device_put(x, row_sharding(mesh))
            by_w, by_x = jax.jit(jax.grad(loss, (0, 1)))(w, x_rows)
        t = np.tanh(x.astype(np.float64) * w)
        slope = 2 * t * (1 - t**2)
        np.testing.assert_allclose(by_w, np.sum(slope * x, 0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(by_x, slope * w, rtol=1e-5, atol=1e-6)

    def test_what_cannot_be_shared_is_refused(self):
        with in_chunks(5), pytest.raises(ValueError, match=r"run\.chunks = 5 on 1 dev"):
            map_chunks(self.fn, jnp.ones(3), (jnp.ones((16, 3)), jnp.float32(1)))
        with in_chunks(2), pytest.raises(ValueError, match=r"\[4, 8\] rows"):
            map_chunks(self.fn, (), (jnp.ones((8, 3)), jnp.ones((4, 3))))
        with pytest.raises(ValueError, match=r"run\.chunks = 0"), in_chunks(0):
            pass

    def test_numbers_of_merged_rows_are_refused(self):
        def fn(whole, chunk):
            return row_numbers(2 * len(chunk))

        with in_chunks(2), pytest.raises(ValueError, match="draws random numbers"):
            map_chunks(fn, (), jnp.ones((8, 3)))

    def test_the_context_ends(self):
        with in_chunks(3):
            assert chunk_count() == 3
        assert chunk_count() == 1


@functools.cache
def compiled(batch_size, chunks, groups, devices):
    """A SimCLR step on 32 px images, compiled; embeddings are small beside it."""
    mesh = mesh_of(devices)
    encoder = ENCODERS["convnet"](widths=(16, 32, 32), groups=groups)
    method = simclr(encoder, plain_views, hidden_dim=32, output_dim=16)
    rows = functools.partial(jax.ShapeDtypeStruct, sharding=row_sharding(mesh))
    batch = {
        "image": rows((batch_size, 32, 32, 3), jnp.uint8),
        "index": rows((batch_size,), jnp.int32),
    }
    with jax.set_mesh(mesh):
        start = functools.partial(init, method, SGD)
        first = jax.eval_shape(start, jax.random.key(0), batch)
        step = functools.partial(train_step, method, SGD, chunks=chunks)
        return jax.jit(step, donate_argnums=0).lower(first, batch).compile()


def temporaries(*args):
    return compiled(*args).memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("devices", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_memory_is_that_of_one_chunk_and_the_embeddings(devices):
    batch, chunks = 64 * devices, 8
    whole = temporaries(batch, 1, batch // 8, devices)
    one = temporaries(batch // chunks, 1, devices, devices)
    # Views, encoder features and projections of the rows of one device, and as many
    # bytes for their gradients; a chunk's share of them counts twice, which is little.
    views = 64 * 2 * 32 * 32 * 3 * 4
    embeddings = 2 * 64 * 2 * (32 + 32 + 16) * 4
    assert temporaries(batch, chunks, batch // 8, devices) < (
        1.3 * one + views + embeddings
    )
    assert whole > 4 * (1.3 * one + views + embeddings)


def test_nothing_crosses_the_wires_inside_the_loops():
    text = compiled(256, 8, 32, 4).as_text()
    bodies = set(re.findall(r"body=%([\w.\-]+)", text))
    assert bodies
    talk = r"(all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)\("
    spoken = set()
    for block in re.split(r"\n(?=%|ENTRY)", text):
        found = re.search(r"^(?:ENTRY )?%([\w.\-]+)", block)
        if found and re.search(talk, block):
            spoken.add(found.group(1))
    assert spoken
    assert not spoken & bodies
