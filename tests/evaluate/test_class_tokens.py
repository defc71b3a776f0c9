"""Class tokens of several blocks: in order, normed, and of the ViT's own depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate.class_tokens import class_tokens
from tests.evaluate.test_attention import made


def test_last_token_is_the_pooled_feature(rng):
    encoder, variables = made(rng, registers=2)
    images = rng.normal(size=(3, 16, 16, 3)).astype(np.float32)
    pooled = jax.jit(encoder.apply, static_argnames="train")(
        variables, images, train=False
    ).pooled
    found = jax.jit(class_tokens(encoder, blocks=1))(variables, images)
    np.testing.assert_allclose(found, pooled, rtol=1e-5, atol=1e-6)
    for scan in (False, True):
        read = jax.jit(class_tokens(encoder.clone(scan_layers=scan), blocks=2))
        several = read(variables, images)
        assert several.shape == (3, 2 * 16)
        np.testing.assert_allclose(several[:, 16:], pooled, rtol=1e-5, atol=1e-6)


def test_earlier_tokens_are_those_of_a_shallower_network(rng):
    """With one final norm: the first block's token is that of depth 1."""
    encoder, variables = made(rng)
    images = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)
    params = {k: v for k, v in variables["params"].items() if k != "block1"}
    wanted = encoder.clone(depth=1).apply({"params": params}, images, train=False)
    found = class_tokens(encoder, blocks=2)(variables, images)
    np.testing.assert_allclose(found[:, :16], wanted.pooled, rtol=1e-5, atol=1e-6)


def test_mean_patch_is_the_mean_of_the_grid(rng):
    encoder, variables = made(rng)
    images = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)
    features = encoder.apply(variables, images, train=False)
    read = class_tokens(encoder, blocks=1, mean_patch=True)
    found = jax.jit(read)(variables, images)
    wanted = jnp.concatenate([features.pooled, features.grid.mean((1, 2))], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_other_encoders_and_depths_are_refused(rng):
    with pytest.raises(ValueError, match="a ConvNet has no class tokens"):
        class_tokens(ENCODERS["convnet"](widths=(8,)))
    encoder, _ = made(rng)
    for blocks in (0, 3):
        with pytest.raises(
            ValueError, match=rf"class_tokens = {blocks} must be from 1 to 2"
        ):
            class_tokens(encoder, blocks=blocks)
