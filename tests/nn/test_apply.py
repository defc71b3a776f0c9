import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.nn.apply import forward, initialize, part
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.norm import BatchNorm


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


def shapes(tree):
    return jax.tree.map(lambda leaf: leaf.shape, tree)


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


def testinitialize_two_is_abstract():
    shape = jax.ShapeDtypeStruct((8, 3), jnp.float32)
    params, _ = jax.eval_shape(
        lambda key, x: initialize(Two(), key, x), jax.random.key(0), shape
    )
    assert params["normed"]["dense0"]["kernel"].shape == (3, 4)


def test_part_has_the_structure_of_the_modules_own_init(rng):
    x = rng.normal(size=(8, 3)).astype(np.float32)
    params, stats = start(x)
    for name, module, inputs in (
        ("normed", MLP((4,), last_norm="affine"), x),
        ("plain", MLP((2,)), x[:, :2].repeat(2, 1)),
    ):
        own = jax.eval_shape(
            functools.partial(module.init, train=False), jax.random.key(1), inputs
        )
        picked = part(params, stats, name)
        assert jax.tree.structure(picked) == jax.tree.structure(own)
        assert shapes(picked) == shapes(own)


def test_forward_hands_on_the_random_keys():
    x = jnp.zeros((2, 3))
    draws = [
        forward(Noise(), {}, {}, x, rngs={"noise": jax.random.key(seed)})[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 0
