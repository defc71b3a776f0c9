"""The encoder of waves against loops, and its shapes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.apply import forward
from tests.encoders.draws import random_variables

SETTINGS = {"widths": (4, 6), "kernels": (5, 3), "strides": (2, 1)}


def run(x, **settings):
    encoder = ENCODERS["wave"](**{**SETTINGS, **settings})
    params, stats = random_variables(encoder, x)
    return params, jax.jit(functools.partial(forward, encoder))(params, stats, x)[0]


def convolved(x, kernel, stride):
    """[B, T, C] by [k, C, D] with ceil((k - stride) / 2) zeros on both sides."""
    length = len(kernel)
    pad = int(np.ceil((length - stride) / 2))
    x = np.pad(x, ((0, 0), (pad, pad), (0, 0)))
    starts = range(0, x.shape[1] - length + 1, stride)
    return np.stack(
        [np.einsum("bkc,kcd->bd", x[:, s : s + length], kernel) for s in starts], 1
    )


@pytest.mark.parametrize("groups", [0, 2])
def test_output_is_convolution_norm_and_relu(rng, groups):
    x = rng.normal(size=(3, 17)).astype(np.float32)
    params, features = run(x, norm_groups=groups)
    y = x[..., None].astype(np.float64)
    for i, stride in enumerate(SETTINGS["strides"]):
        layer = params[f"conv{i}"]
        y = convolved(y, np.asarray(layer["kernel"], np.float64), stride)
        if groups:
            cut = y.reshape(*y.shape[:2], groups, -1)
            mean, var = (f(cut, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
            y = ((cut - mean) / np.sqrt(var + 1e-5)).reshape(y.shape)
            norm = params[f"norm{i}"]
            y = y * np.asarray(norm["scale"]) + np.asarray(norm["bias"])
        else:
            y = y + np.asarray(layer["bias"])
        y = np.maximum(y, 0)
        np.testing.assert_allclose(features.pyramid[i], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(features.grid, features.pyramid[-1])
    np.testing.assert_allclose(features.pooled, y.mean(1), rtol=1e-4, atol=1e-5)


def test_the_default_leaves_a_vector_for_every_160_samples():
    encoder = ENCODERS["wave"]()
    wave = jax.ShapeDtypeStruct((2, 20480), jnp.float32)
    init = functools.partial(encoder.init_with_output, train=False)
    features, _ = jax.eval_shape(init, jax.random.key(0), wave)
    assert features.grid.shape == (2, 128, 512)
    assert features.pooled.shape == (2, 512)


def test_an_image_is_no_wave():
    encoder = ENCODERS["wave"]()
    with pytest.raises(ValueError, match=r"reads waves \[B, T\], not \(1, 8, 8, 3\)"):
        jax.eval_shape(
            lambda: encoder.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)), train=False)
        )
