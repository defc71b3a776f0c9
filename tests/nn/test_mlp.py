import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.paths import leaf_names
from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.mlp import MLP, mlp_after
from tests.references.nn_layers import mlp


def random_params(network, x, rng):
    """Scales and offsets away from 1 and 0, so that a missing one shows."""
    params, stats = jax.eval_shape(
        lambda key: initialize(network, key, x), jax.random.key(0)
    )
    draw = lambda leaf: jnp.asarray(rng.normal(0.5, 0.5, leaf.shape), leaf.dtype)
    return jax.tree.map(draw, params), jax.tree.map(jnp.ones_like, stats)


NORMS = {
    "none": set(),
    "scale": {"norm1/scale"},
    "plain": set(),
    "affine": {"norm1/scale", "norm1/bias"},
}


@pytest.mark.parametrize("last_norm", NORMS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_output_is_the_reference(rng, last_norm, use_bias):
    x = rng.normal(size=(6, 5)).astype(np.float32)
    network = MLP((7, 3), last_norm=last_norm, use_bias=use_bias)
    params, stats = random_params(network, x, rng)
    output, _ = jax.jit(functools.partial(forward, network))(params, stats, x)
    leaves = dict(zip(leaf_names(params), jax.tree.leaves(params), strict=True))
    np.testing.assert_allclose(output, mlp(x, leaves, last_norm), atol=2e-5)
    assert {name for name in leaves if name.startswith("norm1")} == NORMS[last_norm]
    has_bias = use_bias and last_norm == "none"
    assert ("dense1/bias" in leaves) == has_bias
    assert "dense0/bias" not in leaves


def test_without_a_norm_every_layer_has_its_bias(rng):
    x = rng.normal(size=(6, 5)).astype(np.float32)
    network = MLP((7, 3), norm="none")
    params, stats = random_params(network, x, rng)
    assert stats == {}
    output, _ = forward(network, params, stats, x)
    (a, b), (c, d) = (
        (params[name]["kernel"], params[name]["bias"]) for name in ("dense0", "dense1")
    )
    np.testing.assert_allclose(output, np.maximum(x @ a + b, 0) @ c + d, rtol=1e-5)


def test_a_last_norm_without_norms_is_refused():
    with pytest.raises(ValueError, match="no norm for last_norm = 'scale'"):
        initialize(
            MLP((2,), norm="none", last_norm="scale"),
            jax.random.key(0),
            jnp.ones((2, 3)),
        )


def test_unknown_norm_is_named():
    network = MLP((2,), last_norm="affin")
    with pytest.raises(ValueError, match="last_norm = 'affin' must be one of 'none'"):
        initialize(network, jax.random.key(0), jnp.ones((2, 3)))


def test_bfloat16_computes_but_does_not_store(rng):
    x = rng.normal(size=(8, 5)).astype(np.float32)
    wide, narrow = MLP((6, 4)), MLP((6, 4), dtype=jnp.bfloat16)
    params, stats = random_params(narrow, x, rng)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    output, _ = forward(narrow, params, stats, x)
    want, _ = forward(wide, params, stats, x)
    assert output.dtype == jnp.float32
    assert 1e-6 < np.abs(output - want).max() < 0.05 * np.abs(want).max()


def test_unit_rows_are_the_output_at_length_one(rng):
    x = rng.normal(size=(6, 5)).astype(np.float32)
    plain = MLP((7, 3), activation="gelu", norm="none")
    params, stats = random_params(plain, x, rng)
    z = np.asarray(forward(plain, params, stats, x)[0], np.float64)
    found, _ = forward(plain.clone(unit=True), params, stats, x)
    np.testing.assert_allclose(
        found, z / np.linalg.norm(z, axis=1, keepdims=True), rtol=1e-5
    )


def test_an_mlp_after_an_encoder_is_like_it_unless_told_otherwise():
    encoder = ENCODERS["convnet"](widths=(16,), groups=4, dtype="bfloat16")
    found = mlp_after(encoder, [7, 3], use_bias=False)
    assert found == MLP((7, 3), groups=4, dtype="bfloat16", use_bias=False)
    assert mlp_after(encoder, (3,), norm="none", groups=1) == MLP(
        (3,), norm="none", dtype="bfloat16"
    )
    standardized = ENCODERS["convnet"](widths=(16,), norm="group_ws")
    assert mlp_after(standardized, (3,)).norm == "group_ws"
    assert mlp_after(object(), (3,)) == MLP((3,))
