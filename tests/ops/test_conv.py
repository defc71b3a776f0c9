"""The convolution with its own weight gradient is lax's, value and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from jax_ssl.ops import conv
from jax_ssl.parallel.mesh import BATCH_AXES, make_mesh, row_sharding
from tests.references import conv as reference

LAYOUT = ("NHWC", "HWIO", "NHWC")


@pytest.fixture(autouse=True)
def small_kernels_count_too(monkeypatch, request):
    if "rule" not in request.node.name:
        monkeypatch.setattr(conv, "_pays", lambda kernel, strides: True)


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
        np.testing.assert_allclose(got[i], expected, rtol=1e-5, atol=1e-5)


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
    ("kernel", "stride", "pays"),
    [
        ((1, 1, 64, 256), 1, True),
        ((1, 1, 64, 128), 2, True),
        ((3, 3, 64, 128), 2, True),
        ((3, 3, 64, 64), 1, False),
        ((7, 7, 3, 64), 2, False),
        ((3, 3, 1, 24), 1, False),
    ],
)
def test_rule_takes_the_products_where_they_were_measured_faster(kernel, stride, pays):
    assert conv._pays(kernel, (stride, stride)) is pays


def test_only_cpu_gets_the_products(rng):
    x, kernel = draw(rng, (2, 6, 6, 3), (3, 3, 3, 4))
    step = jax.jit(kernel_gradient(conv.conv_general_dilated))
    traced = step.trace(kernel, x)
    counts = {
        platform: traced.lower(lowering_platforms=(platform,))
        .as_text()
        .count("dot_general")
        for platform in ("cpu", "tpu", "cuda")
    }
    assert counts == {"cpu": 9, "tpu": 0, "cuda": 0}
