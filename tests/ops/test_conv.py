"""The convolution with forms of its own for a CPU is lax's, value and gradients."""

import collections
import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from jax_ssl.ops import conv, conv_products
from jax_ssl.parallel.mesh import BATCH_AXES, make_mesh, row_sharding
from tests.references import conv as reference

LAYOUT = ("NHWC", "HWIO", "NHWC")


@pytest.fixture(params=["taps", "cells", "lax"], autouse=True)
def form(monkeypatch, request):
    """All forms of every case, whatever pays for its shapes."""
    if "rule" not in request.node.name:
        product, few = request.param != "lax", request.param == "cells"
        monkeypatch.setattr(conv, "_is_product", lambda *shapes: product)
        monkeypatch.setattr(conv, "_has_few_cells", lambda *shapes: few)
        monkeypatch.setattr(conv_products, "LARGE", 0)
    return request.param


def draw(rng, x_shape, kernel_shape, dtype=np.float32):
    x = jnp.asarray(rng.normal(size=x_shape), dtype)
    return x, jnp.asarray(rng.normal(size=kernel_shape), dtype)


def pulled(fn, x, kernel, **settings):
    """Value and gradients of sum(sin(1 ..) * conv), all of one compilation."""

    @jax.jit
    def run(x, kernel):
        y, pull = jax.vjp(
            lambda x, k: fn(x, k, dimension_numbers=LAYOUT, **settings), x, kernel
        )
        weight = jnp.sin(jnp.arange(y.size)).reshape(y.shape).astype(y.dtype)
        return y, *pull(weight)

    return run(x, kernel)


CASES = {
    "3x3": ((3, 6, 5, 2), (3, 3, 2, 4), (1, 1), ((1, 1), (1, 1))),
    "3x3 stride 2": ((3, 6, 7, 2), (3, 3, 2, 4), (2, 2), ((1, 1), (1, 1))),
    "7x7 stride 2": ((2, 9, 8, 3), (7, 7, 3, 4), (2, 2), ((3, 3), (3, 3))),
    "1x1": ((3, 4, 4, 5), (1, 1, 5, 6), (1, 1), ((0, 0), (0, 0))),
    "1x1 stride 2": ((3, 5, 4, 5), (1, 1, 5, 6), (2, 2), ((0, 0), (0, 0))),
    "uneven": ((2, 7, 6, 3), (2, 3, 3, 4), (3, 1), ((0, 2), (1, 0))),
    "few cells": ((4, 2, 2, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1))),
    "few cells stride 2": ((4, 2, 2, 3), (3, 3, 3, 4), (2, 2), ((1, 1), (1, 1))),
    "one cell": ((4, 1, 1, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1))),
    "one row": ((1, 4, 4, 1), (4, 4, 1, 1), (1, 1), ((0, 0), (0, 0))),
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_match_float64_loops(rng, case):
    x_shape, kernel_shape, strides, pads = CASES[case]
    x, kernel = draw(rng, x_shape, kernel_shape)
    got = pulled(
        conv.conv_general_dilated, x, kernel, window_strides=strides, padding=pads
    )
    y = reference.conv(x, kernel, strides, pads)
    weight = np.sin(np.arange(y.size)).reshape(y.shape)
    expected = (y, *reference.conv_gradients(x, kernel, strides, pads, weight))
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [4, 5])
def test_named_paddings_are_those_of_lax(rng, padding, size):
    x, kernel = draw(rng, (2, size, size, 3), (3, 3, 3, 4))
    settings = {"window_strides": (2, 2), "padding": padding}
    got = pulled(conv.conv_general_dilated, x, kernel, **settings)
    expected = pulled(lax.conv_general_dilated, x, kernel, **settings)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_half_precision_sums_in_float32(rng):
    x, kernel = draw(rng, (64, 8, 8, 2), (1, 1, 2, 4), jnp.bfloat16)
    settings = {"window_strides": (1, 1), "padding": "VALID"}
    y, to_x, to_kernel = pulled(conv.conv_general_dilated, x, kernel, **settings)
    assert y.dtype == to_x.dtype == to_kernel.dtype == jnp.bfloat16
    weight = jnp.sin(jnp.arange(y.size)).reshape(y.shape).astype(y.dtype)
    _, expected = reference.conv_gradients(
        *(np.asarray(a, np.float64) for a in (x, kernel)),
        (1, 1),
        ((0, 0), (0, 0)),
        np.asarray(weight, np.float64),
    )
    # Half a unit in the last place of bfloat16 after a sum of 4096 terms.
    error = np.abs(np.asarray(to_kernel, np.float64) - expected)
    assert np.all(error <= 2**-8 * np.abs(expected) + 1e-3)


UNUSUAL = {
    "dilated kernel": ({"rhs_dilation": (2, 2)}, 4),
    "dilated input": ({"lhs_dilation": (2, 2), "padding": ((0, 0), (1, 1))}, 4),
    "groups": ({"feature_group_count": 2}, 2),
    "negative padding": ({"padding": ((-1, 1), (0, 0))}, 4),
    "other layout": ({}, 4),
    "wider output": ({"preferred_element_type": jnp.float32}, 4),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_anything_unusual_is_lax_itself(name):
    more, channels = UNUSUAL[name]
    settings = {"window_strides": (2, 2), "padding": "SAME", **more}
    if name != "other layout":
        settings["dimension_numbers"] = LAYOUT
    x, kernel = jnp.ones((2, 7, 7, 4)), jnp.ones((3, 3, channels, 4))
    if name == "other layout":
        x, kernel = jnp.ones((2, 4, 7, 7)), jnp.ones((4, 4, 3, 3))
    ours, theirs = (
        str(jax.make_jaxpr(lambda x, k, fn=fn: fn(x, k, **settings))(x, kernel))
        for fn in (conv.conv_general_dilated, lax.conv_general_dilated)
    )
    assert ours == theirs
    assert "custom_vjp" not in ours


def kernel_gradient(fn):
    def loss(kernel, x):
        return jnp.sum(jnp.sin(fn(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)))

    return jax.grad(loss)


def test_vmap_over_kernels(rng):
    x, kernel = draw(rng, (2, 6, 6, 3), (3, 3, 3, 4))
    kernels = jnp.stack([kernel, 2 * kernel])
    got = jax.jit(jax.vmap(kernel_gradient(conv.conv_general_dilated), (0, None)))(
        kernels, x
    )
    for i in range(2):
        expected = kernel_gradient(lax.conv_general_dilated)(kernels[i], x)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(got[i], expected, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("devices", [1, 8])
def test_rows_may_be_sharded(rng, devices):
    x, kernel = draw(rng, (8, 6, 6, 3), (3, 3, 3, 4))
    expected = kernel_gradient(lax.conv_general_dilated)(kernel, x)
    mesh = make_mesh(devices=jax.devices()[:devices])
    step = jax.jit(kernel_gradient(conv.conv_general_dilated))
    with jax.set_mesh(mesh):
        x = jax.device_put(x, row_sharding(mesh))
        got = step(kernel, x)
        text = step.lower(kernel, x).compile().as_text()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert text.count(" all-reduce(") == (devices > 1)  # One for all taps.
    assert "all-gather" not in text


def test_inside_a_shard_map_a_replicated_kernel_gets_the_whole_gradient(rng):
    x, kernel = draw(rng, (8, 6, 6, 3), (3, 3, 3, 4))

    def loss(kernel, x):
        def mine(kernel, x):
            y = conv.conv_general_dilated(
                x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT
            )
            return jnp.sin(y).sum((1, 2, 3))

        return jax.shard_map(
            mine, in_specs=(P(), P(BATCH_AXES)), out_specs=P(BATCH_AXES)
        )(kernel, x).sum()

    with jax.set_mesh(make_mesh()):
        got = jax.jit(jax.grad(loss))(kernel, x)
    expected = kernel_gradient(lax.conv_general_dilated)(kernel, x)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_serves_a_linen_layer(rng):
    layers = [
        nn.Conv(4, (3, 3), (2, 2), padding=1, conv_general_dilated=fn)
        for fn in (conv.conv_general_dilated, lax.conv_general_dilated)
    ]
    x, _ = draw(rng, (2, 6, 6, 3), ())
    variables = layers[0].init(jax.random.key(0), x)
    got, expected = (
        jax.grad(lambda v, layer=layer: jnp.sum(layer.apply(v, x) ** 2))(variables)
        for layer in layers
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        got,
        expected,
    )


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "product"),
    [
        ((8, 16, 16, 64), (1, 1, 64, 256), 1, True),
        ((8, 16, 16, 64), (1, 1, 64, 128), 2, True),
        ((8, 2, 2, 512), (3, 3, 512, 512), 1, True),
        ((8, 4, 4, 512), (3, 3, 512, 512), 2, True),  # Its output has 2 x 2 cells.
        ((8, 4, 4, 512), (3, 3, 512, 512), 1, False),
        ((8, 32, 32, 64), (3, 3, 64, 64), 1, False),
        ((8, 8, 8, 64), (3, 3, 64, 128), 2, False),
        ((8, 64, 64, 3), (7, 7, 3, 64), 2, False),
    ],
)
def test_rule_takes_products_where_they_were_measured_faster(
    image, kernel, stride, product
):
    pads = ((kernel[0] // 2,) * 2,) * 2
    assert conv._is_product(image, kernel, (stride, stride), pads) is product


@pytest.mark.parametrize(
    ("image", "kernel", "few"),
    [
        ((8, 1, 1, 512), (3, 3, 512, 512), True),
        ((64, 2, 2, 512), (3, 3, 512, 512), True),
        ((16, 2, 2, 512), (3, 3, 512, 512), False),
        ((256, 4, 4, 512), (3, 3, 512, 512), False),
        ((256, 2, 2, 512), (1, 1, 512, 512), False),
    ],
)
def test_rule_takes_cells_where_they_are_fewer_than_taps(image, kernel, few):
    assert conv._has_few_cells(image, kernel) is few


def test_only_cpu_gets_another_program_than_lax(rng, form):
    x, kernel = draw(rng, (2, 6, 6, 3), (3, 3, 3, 4))

    def text(fn, platform):
        step = jax.jit(jax.grad(lambda k, x: fn(k, x).sum(), (0, 1)))
        lowered = step.trace(kernel, x).lower(lowering_platforms=(platform,))
        return lowered.as_text()

    def of(module):
        return lambda k, x: jnp.sin(
            module.conv_general_dilated(x, k, (2, 2), "SAME", dimension_numbers=LAYOUT)
        )

    for platform in ("tpu", "cuda"):
        ours, theirs = (operations(text(of(m), platform)) for m in (conv, lax))
        assert ours == theirs
    found = operations(text(of(conv), "cpu"))
    assert found["dot_general"] == (0 if form == "lax" else 3)
    assert found != theirs


def operations(text):
    """How often each operation stands in a lowered program.

    Choices by platform are left out: one branch of theirs remains, which is no choice.
    """
    names = re.findall(r"stablehlo\.(\w+)", text)
    return collections.Counter(
        name for name in names if name not in ("return", "case", "constant")
    )


def test_mapped_over_kernels_each_is_its_own_convolution_rule(rng):
    x = jnp.asarray(rng.normal(size=(3, 2, 6, 6, 2)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 2, 4)), jnp.float32)
    settings = {"window_strides": (1, 1), "padding": "SAME"}

    def loss(x, kernel):
        y = conv.conv_general_dilated(x, kernel, dimension_numbers=LAYOUT, **settings)
        return jnp.sin(y).sum()

    mapped = jax.jit(jax.vmap(jax.value_and_grad(loss, (0, 1))))
    with conv.kernels_in_turn():
        found = mapped(x, kernel)
    one = jax.jit(jax.value_and_grad(loss, (0, 1)))
    for i in range(3):
        mine = jax.tree.map(lambda leaf, i=i: leaf[i], found)
        for a, b in zip(
            *map(jax.tree.leaves, (mine, one(x[i], kernel[i]))), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    # A CPU's program has no convolution of groups, which is slow there.
    text = mapped.lower(x, kernel).as_text()
    assert re.findall(r"feature_group_count = (\d+)", text)
    assert {"1"} == set(re.findall(r"_group_count = (\d+)", text))
    # One kernel for several images is one convolution.
    shared = jax.vmap(jax.value_and_grad(loss, (0, 1)), (0, None))(x, kernel[0])
    for i in range(3):
        _, (_, expected) = one(x[i], kernel[0])
        np.testing.assert_allclose(shared[1][1][i], expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_gradients_are_those_of_lax_rule(rng):
    x, kernel = draw(rng, (2, 6, 6, 2), (3, 3, 2, 4))
    kernels = jnp.stack([kernel, 2 * kernel])

    def penalty(module):
        def value(x, kernel):
            y = module.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT
            )
            return jnp.tanh(y).sum()

        return lambda kernel: jnp.square(jax.grad(value)(x, kernel)).sum()

    ours, theirs = (jax.grad(penalty(module)) for module in (conv, lax))
    expected = jax.jit(jax.vmap(theirs))(kernels)
    agree = functools.partial(
        np.testing.assert_allclose, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
    )
    agree(jax.jit(ours)(kernel), expected[0])
    with conv.kernels_in_turn():
        mapped = jax.jit(jax.vmap(ours))(kernels)
    agree(mapped, expected)
