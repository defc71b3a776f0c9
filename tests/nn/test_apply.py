import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.types import Features
from jax_ssl.nn.apply import forward, initialize, permuted
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.norm import BatchNorm
from jax_ssl.nn.transformer import Branch
from jax_ssl.parallel.chunks import in_chunks
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.leaves import assert_close, assert_equal


class Two(nn.Module):
    """One part with statistics and one without."""

    def setup(self):
        self.normed = MLP((4,), last_norm="affine")
        self.plain = MLP((2,))

    def __call__(self, x, *, train):
        return self.plain(self.normed(x, train=train), train=train)


initialize_two = jax.jit(lambda key, x: initialize(Two(), key, x))


def start(x):
    return initialize_two(jax.random.key(0), x)


class Noise(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        if train:
            x = x + jax.random.normal(self.make_rng("noise"), x.shape)
        return x


def test_training_moves_statistics_and_keeps_the_structure(rng):
    x = rng.normal(5, 1, (8, 3)).astype(np.float32)
    params, stats = start(x)
    _, moved = forward(Two(), params, stats, x)
    assert type(moved) is dict
    assert jax.tree.structure(moved) == jax.tree.structure(stats)
    before, after = jax.tree.leaves(stats), jax.tree.leaves(moved)
    assert all(np.abs(b - a).max() > 0 for b, a in zip(before, after, strict=True))


def test_evaluation_returns_the_statistics_untouched(rng):
    x = rng.normal(size=(8, 3)).astype(np.float32)
    params, stats = start(x)
    output, same = forward(Two(), params, stats, x, train=False)
    assert same is stats
    want = Two().apply({"params": params, **stats}, x, train=False)
    np.testing.assert_array_equal(output, want)


def test_network_without_statistics_has_none():
    params, stats = initialize(MLP((2,)), jax.random.key(0), jnp.ones((3, 4)))
    assert stats == {}
    _, moved = forward(MLP((2,)), params, stats, jnp.ones((3, 4)))
    assert moved == {}


def test_network_without_parameters_has_none():
    norm = BatchNorm(use_scale=False, use_bias=False)
    params, stats = initialize(norm, jax.random.key(0), jnp.ones((3, 4)))
    assert params == {}
    assert set(stats) == {"batch_stats"}


def test_initialize_is_abstract():
    shape = jax.ShapeDtypeStruct((8, 3), jnp.float32)
    params, _ = jax.eval_shape(
        lambda key, x: initialize(Two(), key, x), jax.random.key(0), shape
    )
    assert params["normed"]["dense0"]["kernel"].shape == (3, 4)


def test_forward_hands_on_the_random_keys():
    x = jnp.zeros((2, 3))
    draws = [
        forward(Noise(), {}, {}, x, rngs={"noise": jax.random.key(seed)})[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 0


class Image(nn.Module):
    """A small encoder with batch norm in four groups, and drawn rows."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(BatchNorm(groups=4, momentum=0.7, name="norm")(x, train=train))
        x = Branch(drop_path=0.5)(x, train=train)
        return Features(x.mean((1, 2)), x)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def forward_in_chunks(network, chunks, whole, params, stats, x):
    with in_chunks(chunks):
        keys = {"drop_path": jax.random.key(3)}
        return forward(network, params, stats, x, rngs=keys, whole=whole)


@pytest.mark.parametrize(("devices", "chunks"), [(1, 4), (2, 2), (4, 1)])
def test_chunks_change_neither_output_nor_statistics_nor_draws(rng, devices, chunks):
    x = rng.normal(2, 3, (16, 4, 4, 3)).astype(np.float32)
    params, stats = initialize(Image(), jax.random.key(0), x)
    want, want_stats = forward_in_chunks(Image(), 1, False, params, stats, x)
    mesh = make_mesh(devices=jax.devices()[:devices])
    with jax.set_mesh(mesh):
        rows = jax.device_put(x, row_sharding(mesh))
        got, got_stats = forward_in_chunks(Image(), chunks, False, params, stats, rows)
    assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert_close(got_stats, want_stats, rtol=1e-5, atol=1e-6)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), stats, got_stats)
    assert min(jax.tree.leaves(moved)) > 0


@pytest.mark.parametrize("shape", [(8, 3), (8, 2, 2, 3)])
def test_whole_sees_all_rows_whatever_their_rank(rng, shape):
    """A norm with one group: it needs the whole batch, and says so otherwise."""
    network, x = BatchNorm(), rng.normal(size=shape).astype(np.float32)
    params, stats = initialize(network, jax.random.key(0), x)
    got = forward_in_chunks(network, 2, True, params, stats, x)
    assert_equal(got, forward_in_chunks(network, 1, False, params, stats, x))
    with pytest.raises(ValueError, match=r"cuts through the 1 groups"):
        forward_in_chunks(network, 2, False, params, stats, x)


def test_chunks_that_cut_through_groups_are_refused(rng):
    x = rng.normal(size=(16, 4, 4, 3)).astype(np.float32)
    params, stats = initialize(Image(), jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"multiple of 8, or run\.chunks = 4"):
        forward_in_chunks(Image(), 8, False, params, stats, x)


def test_rows_change_places_and_scalars_stay():
    tree = {"rows": jnp.arange(3.0)[:, None], "one": jnp.float32(7)}
    found = permuted(tree, jnp.asarray([2, 0, 1]))
    np.testing.assert_array_equal(found["rows"][:, 0], [2, 0, 1])
    assert found["one"] == 7
