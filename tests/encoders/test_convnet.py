import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.apply import forward
from tests.encoders.draws import random_variables


def run(x, **settings):
    encoder = ENCODERS["convnet"](**settings)
    params, stats = random_variables(encoder, x)
    return params, jax.jit(functools.partial(forward, encoder))(params, stats, x)[0]


def test_flat_features_are_the_grid_and_mean_features_its_mean(rng):
    x = rng.uniform(size=(4, 8, 8, 1)).astype(np.float32)
    params, flat = run(x, widths=(4, 6), pool="flat")
    _, mean = run(x, widths=(4, 6), pool="mean")
    assert flat.grid.shape == (4, 4, 4, 6)
    np.testing.assert_allclose(flat.pooled, flat.grid.reshape(4, -1), rtol=1e-5)
    np.testing.assert_allclose(mean.pooled, mean.grid.mean((1, 2)), rtol=1e-5)
    assert params["conv0"]["kernel"].shape == (3, 3, 1, 4)
    assert "bias" not in params["conv0"]


def test_output_is_convolution_norm_relu_and_max_pool(rng):
    x = rng.uniform(size=(3, 5, 4, 2)).astype(np.float32)
    params, features = run(x, widths=(3, 2))
    y = x.astype(np.float64)
    for i in range(2):
        if i > 0:
            h, w = y.shape[1] // 2, y.shape[2] // 2
            cut = y[:, : 2 * h, : 2 * w]
            y = cut.reshape(3, h, 2, w, 2, -1).max((2, 4))
        kernel = np.asarray(params[f"conv{i}"]["kernel"], np.float64)
        padded = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        y = np.einsum("bhwcij,ijcd->bhwd", windows, kernel)
        y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
        y = np.maximum(y * params[f"norm{i}"]["scale"] + params[f"norm{i}"]["bias"], 0)
        level = np.asarray(features.pyramid[i])
        np.testing.assert_allclose(level, y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(features.grid, level)


def test_image_too_small_for_the_pools_is_named():
    encoder = ENCODERS["convnet"](widths=(2, 2, 2))
    with pytest.raises(ValueError, match="3 x 8 pixels are too small for 3 stages"):
        jax.eval_shape(
            lambda: encoder.init(jax.random.key(0), jnp.ones((1, 3, 8, 1)), train=False)
        )
