"""AlexNet against loops in float64, and the sizes of its papers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.apply import forward
from tests.encoders.draws import abstract_variables, random_variables
from tests.references.conv import conv
from tests.references.nn_layers import batch_norm


def run(x, **settings):
    encoder = ENCODERS["alexnet"](**settings)
    params, stats = random_variables(encoder, x)
    return params, jax.jit(functools.partial(forward, encoder))(params, stats, x)[0]


def sides(size, **settings):
    """Cells on a side of every level, and the width of what is pooled."""
    encoder = ENCODERS["alexnet"](**settings)
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    init = functools.partial(encoder.init_with_output, train=False)
    features, _ = jax.eval_shape(init, jax.random.key(0), x)
    return [level.shape[1] for level in features.pyramid], features.pooled.shape[1]


def pooled(x):
    """3x3 maxima of every second place."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    return windows[:, ::2, ::2].max((-1, -2))


def normalized(y, layer):
    scale, bias = (np.asarray(layer[name], np.float64) for name in ("scale", "bias"))
    return np.maximum(batch_norm(y, scale, bias)[0], 0)


@pytest.mark.parametrize("pool", ["mean", "flat"])
def test_output_is_convolution_norm_relu_and_max_pool(rng, pool):
    x = rng.uniform(size=(3, 24, 16, 2)).astype(np.float32)
    settings = {"kernel": 4, "stride": 2, "padding": 1, "pools": (1, 3)}
    settings |= {"widths": (3, 4, 2), "pool": pool, "hidden_dims": (5, 4)}
    params, features = run(x, **settings)
    y = x
    for i, (stride, pad) in enumerate(((2, 1), (1, 2), (1, 1)), start=1):
        kernel = np.asarray(params[f"conv{i}"]["kernel"])
        assert kernel.shape[:2] == ((4, 4), (5, 5), (3, 3))[i - 1]
        y = conv(y, kernel, (stride, stride), ((pad, pad), (pad, pad)))
        y = normalized(y, params[f"norm{i}"])
        level = np.asarray(features.pyramid[i - 1])
        np.testing.assert_allclose(level, y, rtol=1e-4, atol=1e-5)
        y = pooled(y) if i in (1, 3) else y
    np.testing.assert_array_equal(features.grid, level)
    y = y.mean((1, 2)) if pool == "mean" else y.reshape(3, -1)
    for i in range(2):
        kernel = np.asarray(params["fc"][f"dense{i}"]["kernel"], np.float64)
        y = normalized(y @ kernel, params["fc"][f"norm{i}"])
    np.testing.assert_allclose(features.pooled, y, rtol=1e-4, atol=1e-4)


def test_the_papers_images_leave_the_papers_grids():
    assert sides(224) == ([55, 27, 13, 13, 13], 256)
    assert sides(224, pool="flat")[1] == 6 * 6 * 256
    assert sides(224, pool="flat", hidden_dims=(4096, 4096))[1] == 4096


def test_small_images_have_settings():
    small = {"kernel": 5, "stride": 1}
    assert sides(32, **small, pool="flat") == ([32, 15, 7, 7, 7], 3 * 3 * 256)
    assert sides(64, stride=2)[0] == [29, 14, 6, 6, 6]
    assert sides(10, kernel=3, stride=1, padding=1, pools=(1,))[0] == [10, 4, 4, 4, 4]


def test_fully_connected_layers_have_the_papers_sizes():
    encoder = ENCODERS["alexnet"](pool="flat", hidden_dims=(4096, 4096))
    variables = abstract_variables(encoder, jnp.zeros((1, 224, 224, 3)))
    dense = variables["params"]["fc"]
    assert dense["dense0"]["kernel"].shape == (9216, 4096)
    assert dense["dense1"]["kernel"].shape == (4096, 4096)
    assert "bias" not in dense["dense1"]


@pytest.mark.parametrize("size", [32, 5])
def test_image_too_small_for_the_layers_is_named(size):
    with pytest.raises(ValueError, match=f"{size} x {size} pixels are too small .* 32"):
        sides(size)
