import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.paths import leaf_names
from jax_ssl.core.trees import count
from jax_ssl.encoders import ENCODERS
from jax_ssl.encoders.conv import KERNEL_INITS
from jax_ssl.encoders.resnet import ResNet
from jax_ssl.nn.apply import forward, initialize
from tests.encoders.draws import KEY, abstract_variables, random_variables
from tests.references import selective

TINY = ResNet(stage_sizes=(2, 1), bottleneck=False, stem="small")


def start(encoder, x):
    return jax.jit(lambda key: initialize(encoder, key, x))(KEY(0))


def run(encoder, params, stats, x, train=True):
    apply = functools.partial(forward, encoder, train=train)
    return jax.jit(apply)(params, stats, x)


@pytest.fixture(scope="module")
def tiny():
    x = np.random.default_rng(0).normal(size=(4, 8, 6, 3)).astype(np.float32)
    return x, *start(TINY, x)


def test_pooled_is_the_mean_of_the_grid(tiny):
    x, params, stats = tiny
    features, _ = run(TINY, params, stats, x)
    assert features.grid.shape == (4, 4, 3, 128)
    np.testing.assert_allclose(
        features.pooled, np.mean(features.grid, (1, 2)), rtol=1e-5, atol=1e-5
    )


def test_pyramid_ends_in_the_grid(tiny):
    features, _ = run(TINY, tiny[1], tiny[2], tiny[0], train=False)
    assert [level.shape[1:] for level in features.pyramid] == [
        (8, 6, 64),
        (8, 6, 64),
        (4, 3, 128),
    ]
    np.testing.assert_array_equal(features.pyramid[-1], features.grid)


def test_padding_of_the_stem_adds_a_frame_to_what_it_says(tiny):
    x, params, stats = tiny
    variables = {"params": params, **stats}
    framed = functools.partial(TINY.clone(stem_padding=2).apply, train=False)
    levels = jax.jit(framed)(variables, x).pyramid
    assert [level.shape[1:3] for level in levels] == [(10, 8), (10, 8), (5, 4)]
    within = jax.jit(functools.partial(TINY.apply, train=False))(variables, x)
    within = within.pyramid[0]
    np.testing.assert_allclose(levels[0][:, 1:-1, 1:-1], within, atol=1e-5)


def test_padding_of_the_stem_is_not_negative():
    with pytest.raises(ValueError, match="stem_padding = -1 must be at least 0"):
        TINY.clone(stem_padding=-1)


def test_zero_init_residual_makes_a_plain_block_the_identity(tiny):
    x, params, stats = tiny
    variables = {"params": params, **stats}
    stem, stage, _ = TINY.apply(variables, x, train=False).pyramid
    np.testing.assert_array_equal(stem, stage)


def test_zero_init_residual_touches_the_last_norm_of_each_block_alone(tiny):
    zeros = {
        name
        for name, leaf in zip(
            leaf_names(tiny[1]), jax.tree.leaves(tiny[1]), strict=True
        )
        if name.endswith("scale") and not np.any(leaf)
    }
    blocks = ("stage0_block0", "stage0_block1", "stage1_block0")
    assert zeros == {f"{block}/norm1/scale" for block in blocks}


def test_without_zero_init_every_scale_starts_at_one():
    plain = ResNet(
        stage_sizes=(1,), bottleneck=True, stem="small", zero_init_residual=False
    )
    params, _ = start(plain, jnp.zeros((1, 4, 4, 3)))
    norm = params["stage0_block0"]["norm2"]
    np.testing.assert_array_equal(norm["scale"], np.ones(256))


def test_every_norm_keeps_the_groups_apart(tiny):
    params, stats = random_variables(TINY, tiny[0])
    x = tiny[0]
    x = x * np.array([1, 1, 3, 3], np.float32)[:, None, None, None] + x[::-1]
    both, moved = run(TINY.clone(groups=2), params, stats, x)
    for half in (slice(0, 2), slice(2, 4)):
        alone, _ = run(TINY, params, stats, x[half])
        np.testing.assert_allclose(
            both.pooled[half], alone.pooled, rtol=1e-4, atol=1e-4
        )
    # The same statistics would come out if some norm ignored the groups.
    together, _ = run(TINY, params, stats, x)
    assert np.abs(both.pooled - together.pooled).max() > 1e-2
    assert jax.tree.structure(moved) == jax.tree.structure(stats)


@pytest.mark.parametrize(("width", "millions"), [(2, 94), (4, 375)])
def test_wide_resnet50_has_the_parameters_of_simclr(width, millions):
    encoder = ENCODERS["resnet50"](width=width)
    x = jnp.zeros((1, 32, 32, 3))
    params, _ = jax.eval_shape(
        lambda key: initialize(encoder, key, x), jax.random.key(0)
    )
    features = jax.eval_shape(
        lambda: encoder.init_with_output(jax.random.key(0), x, train=False)[0]
    )
    assert round(count(params) / 1e6) == millions
    assert features.pooled.shape == (1, 2048 * width)


def test_inner_width_makes_torchvisions_wide_network():
    """wide_resnet50_2 has 68,883,240 parameters, 2,049,000 of them in its head."""
    encoder = ENCODERS["resnet50"](inner_width=2)
    x = jnp.zeros((1, 32, 32, 3))
    params, _ = jax.eval_shape(lambda key: initialize(encoder, key, x), KEY(0))
    assert count(params) == 68_883_240 - 2_049_000
    with pytest.raises(ValueError, match="inner_width = 2 widens bottlenecks"):
        TINY.clone(inner_width=2)


def test_selective_kernels_are_those_of_simclr_v2():
    encoder = ResNet(
        stage_sizes=(1, 2), bottleneck=True, pool_padding="same", sk_ratio=0.0625
    )
    x = np.random.default_rng(0).normal(size=(2, 24, 16, 3)).astype(np.float32)
    params, stats = random_variables(encoder, x)
    known = selective.network({"params": params, **stats}, x, (1, 2), (64, 128))
    found, _ = run(encoder, params, stats, x, train=False)
    np.testing.assert_allclose(found.grid, known, rtol=0, atol=2e-5 * known.std())
    with pytest.raises(ValueError, match=r"sk_ratio = 0\.1 is of bottlenecks"):
        TINY.clone(sk_ratio=0.1)
    with pytest.raises(ValueError, match="stem_padding = 2 is of one convolution"):
        encoder.clone(stem_padding=2)


@pytest.mark.parametrize(
    ("name", "width", "millions"),
    [("resnet50", 1, 35), ("resnet50", 2, 140)],
)
def test_selective_networks_have_the_parameters_of_simclr_v2(name, width, millions):
    """Its table 1."""
    encoder = ENCODERS[name](width=width, sk_ratio=0.0625)
    x = jnp.zeros((1, 32, 32, 3))
    params, _ = jax.eval_shape(lambda key: initialize(encoder, key, x), KEY(0))
    assert round(count(params) / 1e6) == millions


def test_same_padding_of_the_pool_looks_ahead_at_even_sizes():
    """Of a ramp, the pool of cells 2 i to 2 i + 2, where torch's begins one before."""
    encoder = ResNet(stage_sizes=(1,), bottleneck=False)
    same = encoder.clone(pool_padding="same")
    x = jnp.zeros((1, 16, 16, 3)).at[0, 2, 2, 1].set(1.0)
    params, stats = random_variables(encoder, np.zeros((1, 16, 16, 3), np.float32))
    # Without a second convolution the first stage hands the pool on.
    last = params["stage0_block0"]["norm1"]
    params["stage0_block0"]["norm1"] = jax.tree.map(jnp.zeros_like, last)
    for network, first in ((encoder, -1), (same, 0)):
        seen = network.apply({"params": params, **stats}, x, train=False).pyramid
        stem = np.pad(seen[0][0], ((1, 1), (1, 1), (0, 0)))
        places = 2 * np.arange(4) + first + 1
        wanted = [
            [stem[i : i + 3, j : j + 3].max((0, 1)) for j in places] for i in places
        ]
        np.testing.assert_allclose(seen[1][0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("stem", "levels"), [("imagenet", [16, 8, 4, 2, 1]), ("small", [32, 32, 16, 8, 4])]
)
def test_stems_set_the_scale_of_every_level(stem, levels):
    encoder = ENCODERS["resnet18"](stem=stem)
    x = jnp.zeros((1, 32, 32, 3))
    found = jax.eval_shape(
        lambda: encoder.init_with_output(jax.random.key(0), x, train=False)[0].pyramid
    )
    assert [level.shape[1] for level in found] == levels
    assert [level.shape[3] for level in found] == [64, 64, 128, 256, 512]


def test_patches_are_a_linear_map_of_pixels_that_do_not_overlap():
    encoder = TINY.clone(stem="patches", patch=2, channels=5)
    x = np.random.default_rng(1).normal(size=(2, 8, 6, 3)).astype(np.float32)
    params, stats = start(encoder, x)
    found, _ = run(encoder, params, stats, x, train=False)
    kernel = np.asarray(params["stem_conv"]["kernel"], np.float64)
    assert kernel.shape == (1, 1, 2 * 2 * 3, 5)
    for row, column in ((0, 0), (3, 2), (1, 2)):
        patch = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(2, 12)
        # The running moments at the start are 0 and 1.
        wanted = np.maximum(patch @ kernel[0, 0] / np.sqrt(1 + 1e-5), 0)
        np.testing.assert_allclose(
            found.pyramid[0][:, row, column], wanted, rtol=1e-4, atol=1e-5
        )
    assert [level.shape[1:] for level in found.pyramid] == [
        (4, 3, 5),
        (4, 3, 5),
        (2, 2, 10),
    ]


def test_patches_fill_the_image():
    encoder = TINY.clone(stem="patches", patch=4)
    x = jnp.zeros((1, 8, 6, 3))
    with pytest.raises(ValueError, match="8 x 6 pixels cannot be cut into patches of"):
        jax.eval_shape(lambda: encoder.init(KEY(0), x, train=False))
    with pytest.raises(ValueError, match="patch = 0 must be at least 1"):
        TINY.clone(patch=0)


@pytest.mark.parametrize(
    ("kernel_init", "variance"),
    [("he_fan_out", 2 / (9 * 64)), ("lecun_fan_in", 1 / (9 * 64))],
)
def test_kernels_start_with_the_variance_of_their_rule(kernel_init, variance):
    params, _ = start(TINY.clone(kernel_init=kernel_init), jnp.zeros((1, 4, 4, 3)))
    kernel = np.asarray(params["stage0_block0"]["conv0"]["kernel"])
    # Six standard deviations of a variance of 36,864 normal draws.
    assert abs(kernel.var() / variance - 1) < 6 * np.sqrt(2 / kernel.size)


def test_kernel_rule_reaches_every_convolution(monkeypatch):
    monkeypatch.setitem(KERNEL_INITS, "lecun_fan_in", nn.initializers.constant(7.0))
    for bottleneck in (False, True):
        encoder = ResNet(
            stage_sizes=(1, 1),
            bottleneck=bottleneck,
            stem="small",
            kernel_init="lecun_fan_in",
        )
        params, _ = start(encoder, jnp.zeros((1, 4, 4, 3)))
        for name, leaf in zip(leaf_names(params), jax.tree.leaves(params), strict=True):
            assert np.all(np.asarray(leaf) == 7) == name.endswith("kernel"), name


def test_bfloat16_keeps_parameters_statistics_and_pooled_float32(tiny):
    x, params, stats = tiny
    narrow = TINY.clone(dtype="bfloat16")
    assert signature(abstract_variables(narrow, x)) == signature(
        {"params": params, **stats}
    )
    low, moved = run(narrow, params, stats, x)
    high, _ = run(TINY, params, stats, x)
    assert low.pooled.dtype == jnp.float32
    assert low.grid.dtype == jnp.bfloat16
    assert signature(moved) == signature(stats)
    assert 0 < np.abs(low.pooled - high.pooled).max() < 0.1 * high.pooled.max()


def signature(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
