"""Decoders of depth: the published sizes, skips, odd sides, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.trees import count
from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.disparity import DisparityDecoder, distinct, doubled, fitted
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.pose import EgoMotionNet, PoseDecoder

SFMLEARNER = {
    "doubling": "transposed",
    "feedback": True,
    "activation": "relu",
    "padding": "zero",
}


def pyramid(*shapes):
    return [jax.ShapeDtypeStruct((2, *shape), jnp.float32) for shape in shapes]


def made(module, *args):
    init = functools.partial(module.init_with_output, train=False)
    maps, variables = jax.eval_shape(init, jax.random.key(0), *args)
    return maps, count(variables["params"])


def kernels(*layers):
    """Numbers of weights and biases of convolutions (side, inputs, outputs)."""
    return sum((side * side * inputs + 1) * outputs for side, inputs, outputs in layers)


def test_monodepth2s_decoder_has_its_published_size():
    """3.15 million on a ResNet-18, whose pyramid begins before the pool."""
    grids = pyramid(
        (96, 320, 64), (48, 160, 64), (24, 80, 128), (12, 40, 256), (6, 20, 512)
    )
    maps, size = made(DisparityDecoder(), grids)
    assert [x.shape for x in maps] == [
        (2, 192 // 2**s, 640 // 2**s, 1) for s in range(4)
    ]
    skips = (256, 128, 64, 64, 0)
    below = (512, 256, 128, 64, 32)
    widths = (256, 128, 64, 32, 16)
    layers = [(3, a, b) for a, b in zip(below, widths, strict=True)]
    layers += [(3, a + b, b) for a, b in zip(skips, widths, strict=True)]
    layers += [(3, width, 1) for width in widths[1:]]
    assert size == kernels(*layers)
    assert round(size / 1e6, 2) == 3.15


def test_sfmlearners_decoder_reads_the_disparity_below():
    grids = pyramid((8, 12, 4), (4, 6, 8), (2, 3, 16))
    decoder = DisparityDecoder(widths=(12, 6, 5), num_scales=2, **SFMLEARNER)
    maps, size = made(decoder, grids)
    assert [x.shape for x in maps] == [(2, 16, 24, 1), (2, 8, 12, 1)]
    ups = kernels((4, 16, 12), (4, 12, 6), (4, 6, 5))
    joins = kernels((3, 12 + 8, 12), (3, 6 + 4, 6), (3, 5 + 1, 5))
    assert size == ups + joins + kernels((3, 6, 1), (3, 5, 1))


@pytest.mark.parametrize("doubling", ["late", "nearest", "transposed"])
def test_maps_lie_between_their_ends(rng, doubling):
    grids = [
        jnp.asarray(9 * rng.normal(size=(2, *shape)), jnp.float32)
        for shape in ((6, 10, 3), (3, 5, 4))
    ]
    decoder = DisparityDecoder(
        widths=(4, 4),
        num_scales=2,
        num_maps=2,
        scale=3.0,
        offset=1.0,
        doubling=doubling,
    )
    apply = functools.partial(decoder.init_with_output, train=True)
    maps, _ = jax.jit(apply)(jax.random.key(0), grids)
    assert [x.shape for x in maps] == [(2, 12, 20, 2), (2, 6, 10, 2)]
    for each in maps:
        assert each.dtype == jnp.float32
        assert each.min() >= 1
        assert each.max() <= 4
        assert np.ptp(each) > 0.1


def test_sides_that_cannot_be_halved_follow_the_encoder():
    image = jax.ShapeDtypeStruct((1, 36, 52, 3), jnp.float32)
    encoder = ENCODERS["dispnet"](widths=(4, 4, 4))
    init = functools.partial(encoder.init_with_output, train=False)
    features, _ = jax.eval_shape(init, jax.random.key(0), image)
    assert [x.shape[1:3] for x in features.pyramid] == [(18, 26), (9, 13), (5, 7)]
    decoder = DisparityDecoder(widths=(4, 4, 4), num_scales=3, **SFMLEARNER)
    maps, _ = made(decoder, features.pyramid)
    assert [x.shape[1:3] for x in maps] == [(36, 52), (18, 26), (9, 13)]


def test_of_grids_of_one_size_the_last_is_read():
    grids = pyramid((8, 8, 1), (8, 8, 2), (4, 4, 3))
    assert [x.shape[-1] for x in distinct(grids)] == [3, 2]


def test_grids_are_cut_or_continued():
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    grown = fitted(x, jnp.zeros((1, 3, 4, 9)))[0, ..., 0]
    np.testing.assert_array_equal(grown, np.pad(x[0, ..., 0], ((0, 1), (0, 1)), "edge"))
    np.testing.assert_array_equal(fitted(x, jnp.zeros((1, 1, 2, 1))), x[:, :1, :2])
    np.testing.assert_array_equal(doubled(x)[0, :2, :2], np.zeros((2, 2, 1)))
    assert doubled(x).shape == (1, 4, 6, 1)


def test_pose_decoder_has_its_published_size():
    """1.31 million with the second motion, which is never read."""
    motion, size = made(PoseDecoder(), pyramid((6, 20, 512))[0])
    assert motion.shape == (2, 6)
    layers = kernels((1, 512, 256), (3, 256, 256), (3, 256, 256))
    assert size == layers + kernels((1, 256, 6))
    assert round((layers + kernels((1, 256, 12))) / 1e6, 2) == 1.31


def test_ego_motion_says_one_motion_and_mask_for_each_source():
    frames = pyramid((128, 416, 9))[0]
    (motions, masks), size = made(EgoMotionNet(num_sources=2), frames)
    assert motions.shape == (2, 2, 6)
    assert [x.shape for x in masks] == [
        (2, 128 // 2**s, 416 // 2**s, 2, 2) for s in range(4)
    ]
    down = kernels((7, 9, 16), (5, 16, 32), (3, 32, 64), (3, 64, 128), (3, 128, 256))
    down += kernels((3, 256, 256), (3, 256, 256), (1, 256, 12))
    widths = (256, 256, 128, 64, 32, 16)
    up = kernels(*((4, widths[i], widths[i + 1]) for i in range(5)))
    up += kernels(*((3, width, 4) for width in widths[2:]))
    assert size == down + up
    (_, none), without = made(EgoMotionNet(num_sources=2, explain_widths=()), frames)
    assert none == ()
    assert without == down


def with_batch_norm(part, **settings):
    """A small network with batch norm, and six rows of what it reads."""
    small = {
        "decoder": DisparityDecoder(
            widths=(4, 3), num_scales=1, norm="batch", **settings, **SFMLEARNER
        ),
        "pose": EgoMotionNet(
            num_sources=1,
            widths=(4, 5),
            explain_widths=(),
            norm="batch",
            scale=1.0,
            **settings,
        ),
        "head": LinearHead(5, 0.5, batch_norm=True, **settings),
    }[part]
    rng = np.random.default_rng(0)
    grids = [rng.normal(size=(6, *side, 3)).astype("f4") for side in ((8, 8), (4, 4))]
    if part == "head":
        return small, grids[0][:, 0, 0]
    return small, grids if part == "decoder" else grids[0]


@pytest.mark.parametrize("part", ["decoder", "pose", "head"])
def test_groups_of_rows_are_normalised_by_themselves(part):
    """As `encoder.groups` has it, without which no chunks are possible."""
    small, x = with_batch_norm(part)
    variables = jax.jit(functools.partial(small.init, train=False))(
        jax.random.key(0), x
    )

    def half(i, leaf):
        return np.split(leaf, 2)[i]

    def apply(module, x):
        apply = functools.partial(module.apply, train=True, mutable="batch_stats")
        return jax.tree.leaves(jax.jit(apply)(variables, x)[0])

    halves = [jax.tree.map(functools.partial(half, i), x) for i in (0, 1)]
    alone = [apply(small, rows) for rows in halves]
    found = apply(with_batch_norm(part, groups=2)[0], x)
    for both, *parts in zip(found, *alone, strict=True):
        np.testing.assert_allclose(both, np.concatenate(parts), atol=1e-5)
    whole = apply(small, x)
    assert max(np.abs(a - b).max() for a, b in zip(found, whole, strict=True)) > 1e-3


@pytest.mark.parametrize("part", ["decoder", "pose"])
def test_under_batch_norm_the_scale_of_a_layer_does_not_matter(part):
    small, x = with_batch_norm(part)
    variables = jax.jit(functools.partial(small.init, train=False))(
        jax.random.key(0), x
    )
    assert any(np.any(leaf) for leaf in jax.tree.leaves(variables["batch_stats"]))
    scaled = jax.tree.map(np.array, variables)
    first = scaled["params"]["up0" if part == "decoder" else "conv0"]
    for leaf in jax.tree.leaves(first):
        leaf *= 8
    apply = jax.jit(functools.partial(small.apply, train=True, mutable="batch_stats"))
    (out, _), (same, _) = apply(variables, x), apply(scaled, x)
    for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
        assert np.ptp(a) > 1e-3
