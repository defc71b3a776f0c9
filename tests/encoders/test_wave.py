"""The encoders of waves against loops, and their shapes; what a context may know."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.encoders.wave import GRU
from jax_ssl.nn.apply import forward
from jax_ssl.nn.group_norm import ChannelNorm
from tests.encoders.draws import random_variables
from tests.references import future as reference

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


def wide(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def test_channel_norm_is_of_each_step_by_the_unbiased_variance(rng):
    x = rng.normal(2, 3, size=(2, 5, 4)).astype(np.float32)
    own = {"scale": rng.uniform(1, 2, 4), "bias": rng.normal(size=4)}
    found = ChannelNorm().apply({"params": own}, x, train=True)
    wanted = reference.channel_norm(x.astype(np.float64), own)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    with pytest.raises(ValueError, match="channel_norm = 1 must be at least 2"):
        ChannelNorm().init(jax.random.key(0), x[..., :1], train=True)


def test_codes_and_contexts_are_those_of_a_loop(rng):
    """Convolutions, channel norm and GRU by NumPy in float64, gate by gate."""
    x = rng.normal(size=(3, 40)).astype(np.float32)
    encoder = ENCODERS["wave_gru"](**SETTINGS, channel_norm=True, context=5)
    params, _ = random_variables(encoder, x)
    assert set(params["gru"]) == {"input", "hidden"}
    assert params["gru"]["hidden"]["kernel"].shape == (5, 15)
    features = jax.jit(functools.partial(encoder.apply, train=False))(
        {"params": params}, x
    )
    codes, contexts = reference.encoded(np.float64(x), wide(params), (2, 1))
    np.testing.assert_allclose(features.pyramid[-2], codes, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features.grid, contexts, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(features.pyramid[-1], features.grid)
    np.testing.assert_allclose(features.pooled, contexts.mean(1), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gru_is_torchs_by_the_names_of_its_weights(rng):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.GRU(4, 3, batch_first=True)
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    params = {
        part: {"kernel": state[f"weight_{word}_l0"].T, "bias": state[f"bias_{word}_l0"]}
        for part, word in (("input", "ih"), ("hidden", "hh"))
    }
    x = rng.normal(size=(2, 7, 4)).astype(np.float32)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x))[0].numpy()
    found = GRU(3).apply({"params": params}, x)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("leaks", [False, True])
def test_a_context_knows_nothing_that_comes_later(rng, leaks):
    """Code t of two layers (4, 4) with strides (2, 2) ends at sample 4 t + 6.

    Group norm has the moments of the whole window, future included.
    """
    norm = {"norm_groups": 2} if leaks else {"channel_norm": True}
    encoder = ENCODERS["wave_gru"](
        widths=(4, 4), kernels=(4, 4), strides=(2, 2), context=3, **norm
    )
    x = rng.normal(size=(1, 64)).astype(np.float32)
    params, _ = random_variables(encoder, x)

    def grid(x):
        return encoder.apply({"params": params}, x, train=True).grid[0].sum(-1)

    found = jax.jit(jax.jacrev(grid))(x)[:, 0]  # [t, T]
    for t, slope in enumerate(np.asarray(found)):
        assert slope[: 4 * t + 7].any()
        assert slope[4 * t + 7 :].any() == (leaks and 4 * t + 7 < 64)
    assert found.shape == (16, 64)
