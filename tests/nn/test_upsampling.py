"""Decoders from a code to an image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.nn.apply import forward
from jax_ssl.nn.upsampling import ImageDecoder
from tests.encoders.draws import random_variables


def normed(x, params):
    x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    return np.maximum(x * np.asarray(params["scale"]) + np.asarray(params["bias"]), 0)


def doubled(x, kernel):
    """Copies, zeros around them, and 3 x 3 taps, in float64."""
    padded = np.pad(x.repeat(2, 1).repeat(2, 2), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, np.asarray(kernel, np.float64))


def test_decoder_is_dense_norm_relu_and_doublings(rng):
    decoder = ImageDecoder(shape=(7, 6, 2), widths=(5, 3))
    x = rng.normal(size=(4, 6)).astype(np.float32)
    params, stats = random_variables(decoder, x)
    found, _ = jax.jit(lambda p, s, x: forward(decoder, p, s, x))(params, stats, x)
    y = x.astype(np.float64) @ np.asarray(params["start"]["kernel"])
    y = normed(y.reshape(4, 2, 2, 5), params["norm0"])
    y = normed(doubled(y, params["up1"]["kernel"]), params["norm1"])
    y = doubled(y, params["pixels"]["kernel"]) + np.asarray(params["pixels"]["bias"])
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, y[:, :7, :6], rtol=1e-4, atol=1e-5)


def test_dcgans_form_has_its_first_values():
    """arXiv:1511.06434, section 4: kernels N(0, 0.02²); scales about 1."""
    decoder = ImageDecoder(shape=(16, 16, 3), widths=(64, 32), form="transposed")
    init = jax.jit(lambda key, x: decoder.init(key, x, train=False))
    params = init(jax.random.key(0), jnp.zeros((2, 10)))["params"]
    assert params["up1"]["kernel"].shape == (4, 4, 64, 32)
    assert np.std(params["up1"]["kernel"]) == pytest.approx(0.02, rel=0.02)
    assert np.mean(params["norm0"]["scale"]) == pytest.approx(1, abs=0.02)
    assert np.std(params["norm0"]["scale"]) == pytest.approx(0.02, rel=0.3)


def test_grids_are_decoded_and_tanh_bounds():
    decoder = ImageDecoder(shape=(8, 8, 3), widths=(6,), tanh=True)
    x = jax.ShapeDtypeStruct((2, 4, 4, 9), jnp.float32)
    init = lambda x: decoder.init_with_output(jax.random.key(0), x, train=False)
    image, variables = jax.eval_shape(init, x)
    assert image.shape == (2, 8, 8, 3)
    assert variables["params"]["start"]["kernel"].shape == (9, 6)
    large, _ = jax.jit(init)(100 * jnp.ones((2, 4, 4, 9)))
    assert np.abs(large).max() <= 1


def test_grid_of_another_size_is_refused_with_the_remedy():
    decoder = ImageDecoder(shape=(8, 8, 3), widths=(6, 4))
    with pytest.raises(ValueError, match=r"8 x 8 pixels of 2 x 2 cells, .* has 4 x 4"):
        decoder.init(jax.random.key(0), jnp.ones((1, 4, 4, 9)), train=False)
