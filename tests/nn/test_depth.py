"""Loops over layers, recomputation and branches left out change no numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.vit import ViT
from jax_ssl.nn.apply import forward
from jax_ssl.nn.depth import kept_rows, of_kept
from jax_ssl.nn.transformer import attention, fused_here
from jax_ssl.parallel.chunks import in_chunks
from jax_ssl.train.flops import live_flops

VIT = ViT(dim=16, depth=3, num_heads=2, patch=4, image_size=8, layer_scale=0.5)


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 8, 3)), "f4")


@pytest.fixture(scope="module")
def params(images):
    init = jax.jit(functools.partial(VIT.init, train=False))
    variables = init(jax.random.key(0), images)
    noise = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: np.asarray(leaf) + noise.normal(0, 0.1, leaf.shape).astype("f4"),
        variables["params"],
    )


def value(vit, params, images):
    features = vit.apply({"params": params}, images, train=True)
    return jnp.sum(jnp.sin(features.pooled)) + jnp.sum(jnp.cos(features.grid))


@pytest.fixture(scope="module")
def expected(images, params):
    """The gradient without loops and recomputation."""
    return jax.jit(jax.grad(functools.partial(value, VIT)))(params, images)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"scan_layers": True}, marks=pytest.mark.slow),
        {"scan_layers": True, "remat": "full"},
        {"remat": "dots"},
        pytest.param({"remat": "full"}, marks=pytest.mark.slow),
    ],
)
def test_loops_and_recomputation_give_the_same_gradient(
    images, params, expected, settings
):
    vit = VIT.clone(**settings)
    init = functools.partial(vit.init, train=False)
    own = jax.eval_shape(init, jax.random.key(0), images)["params"]
    assert jax.tree.structure(params) == jax.tree.structure(own)
    found = jax.jit(jax.grad(functools.partial(value, vit)))(params, images)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest),
        found,
        expected,
    )


def flops(vit, params, images, rngs=None):
    def loss(params):
        features = vit.apply({"params": params}, images, train=True, rngs=rngs)
        return features.pooled.sum()

    return live_flops(jax.jit(jax.value_and_grad(loss)).trace(params).jaxpr)


def test_recomputation_costs_a_forward_pass_and_dots_costs_less(images, params):
    plain, dots, full = (
        flops(VIT.clone(remat=remat), params, images)
        for remat in ("none", "dots", "full")
    )
    assert plain <= dots < full
    assert 1.2 < full / plain < 1.4  # Of three passes' work, one more.


def test_a_residual_network_may_recompute_its_blocks():
    plain = ResNet(stage_sizes=(1, 1), bottleneck=True, stem="small", channels=2)
    again = plain.clone(remat="full")
    images = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 8, 3)), "f4")
    init = jax.jit(functools.partial(plain.init, train=False))
    variables = init(jax.random.key(0), images)
    shapes = jax.eval_shape(
        functools.partial(again.init, train=False), jax.random.key(0), images
    )
    assert jax.tree.structure(variables) == jax.tree.structure(shapes)

    def trained(network):
        def loss(params):
            features, changed = network.apply(
                {**variables, "params": params},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.sum(jnp.sin(features.grid)), changed

        program = jax.jit(jax.grad(loss, has_aux=True))
        params = variables["params"]
        return live_flops(program.trace(params).jaxpr), program(params)

    (cheap, expected), (dear, found) = trained(plain), trained(again)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        found,
        expected,
    )
    assert 1.2 < dear / cheap < 1.5


def test_a_loop_traces_one_block_whatever_the_depth(images):
    def size(vit):
        images = jnp.zeros((1, 8, 8, 3))
        params = jax.eval_shape(
            functools.partial(vit.init, train=False), jax.random.key(0), images
        )
        apply = functools.partial(vit.apply, train=False)
        text = jax.jit(apply).trace(params, images).lower().as_text()
        return text.count("dot_general")

    deep, shallow = (VIT.clone(depth=n, scan_layers=True) for n in (12, 4))
    assert size(deep) == size(shallow) < size(VIT.clone(depth=4))


@pytest.mark.parametrize("uniform", [False, True])
def test_a_loop_drops_paths(images, params, uniform):
    vit = VIT.clone(scan_layers=True, drop_path=0.5, drop_path_uniform=uniform)

    @functools.partial(jax.jit, static_argnames="train")
    def run(key, train=True):
        rngs = {"drop_path": jax.random.key(key)}
        return vit.apply({"params": params}, images, train=train, rngs=rngs).pooled

    np.testing.assert_array_equal(run(0), run(0))
    assert np.any(np.asarray(run(0)) != run(1))
    apply = jax.jit(functools.partial(VIT.apply, train=False))
    whole = apply({"params": params}, images).pooled
    np.testing.assert_allclose(run(0, train=False), whole, atol=1e-5)


def test_of_every_group_a_fixed_number_is_kept():
    kept = np.asarray(kept_rows(jax.random.key(0), 64, 0.25, 16))
    assert kept.shape == (4, 12)
    for row in kept:
        assert len(set(row)) == 12
        assert row.min() >= 0
        assert row.max() < 16
    assert len({tuple(row) for row in kept}) == 4


def test_the_branch_is_added_to_kept_rows_alone(rng):
    x = jnp.asarray(rng.normal(size=(8, 3, 2)), "f4")
    kept = jnp.asarray([[2, 0], [1, 3]])
    found = of_kept(x, kept, lambda rows: 10 * rows)
    factor = np.array([21, 1, 21, 1, 1, 21, 1, 21])[:, None, None]
    np.testing.assert_allclose(found, factor * np.asarray(x), rtol=1e-6)


def test_its_mean_is_that_of_all_rows():
    x = jnp.ones((8, 1))
    keys = jax.random.split(jax.random.key(0), 400)
    mean = jax.vmap(lambda key: of_kept(x, kept_rows(key, 8, 0.5, 8), jnp.sin))(keys)
    # A row is kept half the time: a deviation of sin(1) / sqrt(400).
    np.testing.assert_allclose(mean.mean(0), 1 + np.sin(1), atol=4 * np.sin(1) / 20)


def test_dropped_rows_cost_nothing(images, params):
    rngs = {"drop_path": jax.random.key(0)}
    half = VIT.clone(drop_path=0.5, drop_path_uniform=True)
    drawn = flops(half, params, images, rngs)
    grouped = flops(half.clone(drop_path_group=8), params, images, rngs)
    # What is left beside half of the blocks is the patches' projection.
    assert 0.5 * drawn < grouped < 0.55 * drawn


@pytest.mark.parametrize("scan", [False, True])
def test_chunks_keep_the_same_rows(images, params, scan):
    vit = VIT.clone(
        drop_path=0.5, drop_path_uniform=True, drop_path_group=4, scan_layers=scan
    )

    @functools.partial(jax.jit, static_argnums=0)
    def run(chunks):
        with in_chunks(chunks):
            rngs = {"drop_path": jax.random.key(0)}
            features, _ = forward(vit, params, {}, images, rngs=rngs)
        return features.pooled

    np.testing.assert_allclose(run(2), run(1), atol=1e-5)


def test_groups_that_do_not_divide_the_rows_are_refused():
    with pytest.raises(ValueError, match=r"drop_path_group = 5 does not divide the 8"):
        kept_rows(jax.random.key(0), 8, 0.5, 5)
    with pytest.raises(ValueError, match="set drop_path_uniform = True"):
        ENCODERS["vit_s"](scan_layers=True, drop_path_group=4)
    with pytest.raises(ValueError, match="remat = 'some' must be one of 'none'"):
        ENCODERS["vit_s"](remat="some")


def test_attention_is_jax_s_own(rng):
    q, k, v = (jnp.asarray(rng.normal(size=(2, 5, 3, 8)), "f4") for _ in range(3))
    expected = jax.nn.dot_product_attention(q, k, v, implementation="xla")
    np.testing.assert_allclose(attention(q, k, v), expected, atol=1e-6)
    assert not fused_here(q)  # Single precision has no fused kernel anywhere.
