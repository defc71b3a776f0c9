"""U-Net: sizes, what a pixel sees, skips, and a float64 twin of the whole network."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.trees import count
from jax_ssl.encoders import ENCODERS
from jax_ssl.encoders.unet import DoubleConv, ExpandingPath, UNet, UpConv2, halved
from tests.references.conv import conv

KEY = jax.random.key(0)


class Both(nn.Module):
    """The two paths as one network."""

    encoder: nn.Module
    decoder: nn.Module

    def __call__(self, x, *, train=False):
        return self.decoder(self.encoder(x, train=train).pyramid, train=train)


def both(widths, padding="valid", num_classes=2, **settings):
    encoder = UNet(widths=widths, padding=padding, **settings)
    return Both(encoder, ExpandingPath(num_classes=num_classes, padding=padding))


def drawn(network, shape, low=-0.5):
    """Random variables, without a program that would make the first ones."""
    rng = np.random.default_rng(0)
    spec = jax.eval_shape(network.init, KEY, jax.ShapeDtypeStruct(shape, jnp.float32))
    draw = lambda leaf: rng.uniform(low, 0.5, leaf.shape).astype(np.float32)
    return jax.tree.map(draw, spec)


def test_the_papers_network_has_its_sizes_its_layers_and_its_margin():
    network = both((64, 128, 256, 512, 1024))
    image = jax.ShapeDtypeStruct((1, 572, 572, 1), jnp.float32)
    out, variables = jax.eval_shape(network.init_with_output, KEY, image)
    assert out.shape == (1, 388, 388, 2)
    kernels = [leaf for leaf in jax.tree.leaves(variables) if leaf.ndim > 1]
    assert len(kernels) == 23
    # Of the expanding path 4 C W + W, 9 C W + W and 9 W W + W of each level, with C
    # twice W, and 2 · 64 + 2; one channel of the input in the place of three.
    assert count(variables["params"]) == 18_843_200 - 2 * 9 * 64 + 12_188_610
    encoder = network.encoder
    assert (encoder.margin, encoder.fitting(388)) == (92, 572)


@pytest.mark.parametrize(("side", "levels"), [(572, 5), (44, 3), (20, 2)])
def test_without_padding_all_that_the_margin_says_is_lost(side, levels):
    network = both((1,) * levels)
    image = jax.ShapeDtypeStruct((1, side, side + 16, 1), jnp.float32)
    out, _ = jax.eval_shape(network.init_with_output, KEY, image)
    lost = {5: 184, 3: 40, 2: 16}[levels]
    assert out.shape[1:3] == (side - lost, side + 16 - lost)
    assert 2 * network.encoder.margin == lost


def test_with_padding_sizes_stay():
    network = both((1, 2, 1, 2, 1), "same")
    image = jax.ShapeDtypeStruct((1, 48, 64, 3), jnp.float32)
    out, _ = jax.eval_shape(network.init_with_output, KEY, image)
    assert out.shape == (1, 48, 64, 2)
    assert (network.encoder.margin, network.encoder.fitting(33)) == (0, 48)


def test_fitting_sides_halve_evenly_and_are_the_least():
    for depth in (1, 2, 3):
        for padding, lost in (("valid", 4), ("same", 0)):
            encoder = UNet(widths=(1,) * (depth + 1), padding=padding)

            def fits(n, depth=depth, lost=lost):
                for _ in range(depth):
                    n -= lost
                    if n <= 0 or n % 2:
                        return False
                    n //= 2
                return n - lost > 0

            for side in (1, 5, 16, 17):
                found = encoder.fitting(side)
                larger = range(side + 2 * encoder.margin, found + 1)
                assert [n for n in larger if fits(n)] == [found]


def test_float64_twin(rng):
    """The whole network by loops: two levels, no padding, random weights."""
    network = both((2, 3), num_classes=2)
    x = rng.normal(size=(2, 20, 24, 1)).astype(np.float32)
    variables = drawn(network, x.shape)
    found = jax.jit(network.apply)(variables, x)
    p = jax.tree.map(np.float64, variables["params"])

    def twice(x, p):
        for i in range(2):
            layer = p[f"conv{i}"]
            x = conv(x, layer["kernel"], (1, 1), [(0, 0)] * 2) + layer["bias"]
            x = np.maximum(x, 0)
        return x

    fine = twice(np.float64(x), p["encoder"]["level0"])
    pooled = np.zeros((2, 8, 10, 2))
    for i, j in np.ndindex(8, 10):
        pooled[:, i, j] = fine[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((1, 2))
    coarse = twice(pooled, p["encoder"]["level1"])  # 4 x 6.
    up = np.zeros((2, 8, 12, 2))
    taps = p["decoder"]["up0"]["Dense_0"]["kernel"].reshape(3, 2, 2, 2)
    for i, j in np.ndindex(8, 12):
        up[:, i, j] = coarse[:, i // 2, j // 2] @ taps[:, i % 2, j % 2]
    up = np.maximum(up + p["decoder"]["up0"]["bias"], 0)
    joined = np.concatenate([up, fine[:, 4:12, 4:16]], axis=-1)
    last = p["decoder"]["scores"]
    expected = twice(joined, p["decoder"]["level0"]) @ last["kernel"][0, 0]
    np.testing.assert_allclose(found, expected + last["bias"], rtol=2e-5, atol=2e-5)


def seen_from(n):
    """First and last input of output n, along one axis, of a network of two levels.

    Two convolutions read four cells more than they make, a pool two cells for each,
    and the up-convolution makes cell i of cell i // 2.
    """
    last = n + 4
    return 2 * (n // 2), 2 * (last // 2 + 4) + 1 + 4


@pytest.mark.parametrize(
    "place", [(1, 2), pytest.param((0, 0), marks=pytest.mark.slow)]
)
def test_a_pixel_sees_what_the_layers_reach_and_nothing_else(place):
    """Receptive field of one output, by a change of each input pixel alone."""
    network = both((1, 1), num_classes=1)
    shape = (1, 24, 24, 1)
    variables = drawn(network, shape, low=0.2)  # All that is read comes through.
    x = np.random.default_rng(1).uniform(size=shape).astype(np.float32)

    @jax.jit
    @jax.vmap
    def changed(pixel):
        seen = jnp.asarray(x).at[0, pixel // 24, pixel % 24, 0].add(1e4)
        return network.apply(variables, seen)[0, place[0], place[1], 0]

    found = np.asarray(changed(np.arange(24 * 24)))
    moved = (found > found.min() + 0.1).reshape(24, 24)
    rows, columns = (seen_from(n) for n in place)
    expected = np.zeros((24, 24), bool)
    expected[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    np.testing.assert_array_equal(moved, expected)


def test_without_the_way_up_the_finest_skip_alone_is_read(rng):
    path = ExpandingPath(num_classes=2, padding="valid")
    sides = (40, 16, 4)
    draw = lambda side: jnp.asarray(rng.normal(size=(1, side, side, 3)), jnp.float32)
    pyramid = tuple(map(draw, sides))
    spec = jax.eval_shape(functools.partial(path.init, train=False), KEY, pyramid)
    random = lambda leaf: rng.normal(size=leaf.shape).astype(np.float32)
    params = jax.tree.map(random, spec["params"])
    params["up0"] = jax.tree.map(np.zeros_like, params["up0"])
    apply = jax.jit(functools.partial(path.apply, {"params": params}, train=False))
    found = apply(pyramid)
    assert np.abs(found).max() > 0
    others = (pyramid[0], *(draw(side) for side in sides[1:]))
    np.testing.assert_array_equal(apply(others), found)
    # Of the skip its middle, as large as what comes from below.
    hidden = np.array(pyramid[0])
    hidden[:, 16:24, 16:24] = 0
    np.testing.assert_array_equal(
        apply((jnp.asarray(pyramid[0] - hidden), *others[1:])), found
    )


def test_a_shift_of_sixteen_pixels_shifts_the_output_by_sixteen(rng):
    network = both((1, 2, 2, 2, 2), num_classes=1)
    x = rng.normal(size=(1, 204, 204, 1)).astype(np.float32)
    variables = drawn(network, (1, 188, 188, 1))
    apply = jax.jit(network.apply)
    whole = apply(variables, x)
    assert whole.shape == (1, 20, 20, 1)
    for down, right in ((0, 16), (16, 0)):
        part = x[:, down : down + 188, right : right + 188]
        expected = whole[:, down : down + 4, right : right + 4]
        found = apply(variables, part)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(whole) > 1e-3


def test_skips_are_taken_before_the_pool_and_the_pool_takes_the_largest(rng):
    encoder = UNet(widths=(2, 3), padding="same")
    image = jax.ShapeDtypeStruct((1, 6, 7, 1), jnp.float32)
    init = functools.partial(encoder.init_with_output, train=False)
    features, _ = jax.eval_shape(init, KEY, image)
    assert [level.shape for level in features.pyramid] == [(1, 6, 7, 2), (1, 3, 3, 3)]
    x = rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    found = jax.jit(halved)(x)
    for i, j in np.ndindex(3, 3):
        cells = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        np.testing.assert_array_equal(found[:, i, j], cells.max((1, 2)))


def test_up_convolution_is_that_of_flax(rng):
    x = jnp.asarray(rng.normal(size=(2, 3, 4, 5)), jnp.float32)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    params = {"Dense_0": {"kernel": draw(5, 24)}, "bias": draw(6)}
    taps = params["Dense_0"]["kernel"].reshape(5, 2, 2, 6).transpose(1, 2, 0, 3)
    theirs = nn.ConvTranspose(6, (2, 2), (2, 2), "VALID")
    # Flax turns its taps around.
    own = {"kernel": taps[::-1, ::-1], "bias": params["bias"]}
    found = jax.jit(UpConv2(6).apply)({"params": params}, x)
    expected = jax.jit(theirs.apply)({"params": own}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_first_weights_have_the_variance_of_he():
    conv = functools.partial(DoubleConv(width=64).init, train=False)
    kernel = jax.jit(conv)(KEY, jnp.zeros((1, 5, 5, 64)))["params"]["conv1"]["kernel"]
    assert np.std(kernel) == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.03)
    up = jax.jit(UpConv2(64).init)(KEY, jnp.zeros((1, 2, 2, 128)))["params"]["Dense_0"]
    assert np.std(up["kernel"]) == pytest.approx(np.sqrt(2 / 128), rel=0.03)


def test_dropout_falls_on_the_two_coarsest_levels_in_training_alone(rng):
    encoder = UNet(widths=(8, 8, 8), padding="same", dropout=0.5)
    x = jnp.asarray(rng.normal(size=(4, 8, 8, 1)), jnp.float32)
    init = functools.partial(encoder.init, train=False)
    draw = lambda leaf: rng.normal(size=leaf.shape).astype(np.float32)
    params = jax.tree.map(draw, jax.eval_shape(init, KEY, x))

    @functools.partial(jax.jit, static_argnums=0)
    def pyramid(train):
        return encoder.apply(params, x, train=train, rngs={"dropout": KEY}).pyramid

    plain, noisy = pyramid(False), pyramid(True)
    np.testing.assert_array_equal(noisy[0], plain[0])
    live = np.asarray(plain[1] > 0)
    kept = np.asarray(noisy[1] > 0)
    assert 0.4 < kept[live].mean() < 0.6
    np.testing.assert_allclose(noisy[1][kept], 2 * plain[1][kept], rtol=1e-6)
    assert (kept[0] & live[1] != kept[1] & live[0]).any()  # Rows differ.


@pytest.mark.parametrize(
    ("name", "settings", "side", "levels"),
    [
        ("resnet18", {"stem": "small", "stage_sizes": (1, 1, 1)}, 15, 4),
        ("resnet18", {"stage_sizes": (1, 1)}, 16, 3),
        ("convnet", {"widths": (2, 3, 4)}, 17, 3),
        ("dcgan", {"widths": (2, 3)}, 16, 2),
    ],
)
def test_other_encoders_have_an_expanding_path_too(name, settings, side, levels):
    encoder = ENCODERS[name](**settings)
    network = Both(encoder, ExpandingPath(num_classes=3))
    image = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    out, _ = jax.eval_shape(network.init_with_output, KEY, image)
    pyramid = jax.eval_shape(
        functools.partial(encoder.init_with_output, train=False), KEY, image
    )[0].pyramid
    assert len(pyramid) == levels
    assert abs(out.shape[1] - pyramid[0].shape[1]) <= 1
    assert out.shape[3] == 3


@pytest.mark.parametrize(
    ("shapes", "settings", "message"),
    [
        ((), {}, "makes no pyramid"),
        ((9, 3), {}, "does not fit the one below"),
        ((15, 4), {"padding": "valid"}, "15 x 15 cells does not fit .* 8 x 8"),
        ((8, 4), {"widths": (2, 2)}, r"decoder_widths = \(2, 2\) must hold 1 numbers"),
    ],
)
def test_pyramids_that_do_not_fit_are_refused(shapes, settings, message):
    pyramid = tuple(jnp.zeros((1, n, n, 2)) for n in shapes)
    with pytest.raises(ValueError, match=message):
        ExpandingPath(num_classes=2, **settings).init(KEY, pyramid, train=False)


@pytest.mark.parametrize(("side", "padding"), [(64, "valid"), (8, "same")])
def test_images_that_are_too_small_are_named(side, padding):
    init = functools.partial(UNet(padding=padding).init, train=False)
    with pytest.raises(ValueError, match=r"too small for two conv.* encoder.widths"):
        jax.eval_shape(init, KEY, jnp.zeros((1, side, side, 1)))
