import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.optim.layer_decay import layer_scales

D = 0.65
RATE = optax.constant_schedule(0.1)


def parameters(depth=12):
    vit = ENCODERS["vit"](
        dim=4, depth=depth, num_heads=1, patch=4, image_size=8, registers=1
    )
    images = jnp.zeros((1, 8, 8, 3))
    shapes = jax.eval_shape(
        lambda: vit.init(jax.random.key(0), images, train=False)["params"]
    )
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    return {"encoder": ones, "head": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}}


PARAMS = parameters()


def of(tree, name):
    return set(jax.tree.leaves(tree["encoder"][name]))


def test_rates_fall_from_the_head_to_the_embeddings():
    scales = layer_scales(PARAMS, D)
    for name in ("patch_embed", "class_token", "position_embed", "register_tokens"):
        assert of(scales, name) == {D**13}
    for k in range(12):
        # Layer k + 1 of n + 1 = 13.
        assert of(scales, f"block{k}") == {D ** (13 - (k + 1))}
    assert of(scales, "norm") == {1.0}
    assert scales["head"] == {"kernel": 1.0, "bias": 1.0}
    np.testing.assert_allclose(max(of(scales, "block11")), 0.65)
    np.testing.assert_allclose(max(of(scales, "patch_embed")), 0.0036972, rtol=1e-4)


def test_decay_of_one_is_no_decay():
    assert set(jax.tree.leaves(layer_scales(PARAMS, 1.0))) == {1.0}


def test_adamw_takes_smaller_steps_below_and_decays_less():
    gradient = jax.tree.map(jnp.ones_like, PARAMS)
    plain, layered = (
        OPTIMIZERS["adamw"](learning_rate=RATE, weight_decay=0.5, layer_decay=decay)
        for decay in (None, D)
    )
    expected, _ = plain.update(gradient, plain.init(PARAMS), PARAMS)
    found, _ = layered.update(gradient, layered.init(PARAMS), PARAMS)
    scales = layer_scales(PARAMS, D)
    jax.tree.map(
        lambda step, scale, whole: np.testing.assert_allclose(
            step, scale * whole, rtol=1e-6
        ),
        found,
        scales,
        expected,
    )
    # A first step of Adam on ones is the rate itself, and of a matrix λ times it more.
    kernel = found["encoder"]["block10"]["attention"]["out"]["kernel"]
    np.testing.assert_allclose(kernel, -0.1 * D**2 * (1 + 0.5), rtol=1e-5)


def test_frozen_parameters_stay_frozen():
    rates = (("^encoder/", None),)
    tx = OPTIMIZERS["adamw"](learning_rate=RATE, rates=rates, layer_decay=D)
    steps, _ = tx.update(jax.tree.map(jnp.ones_like, PARAMS), tx.init(PARAMS), PARAMS)
    assert not any(leaf.any() for leaf in jax.tree.leaves(steps["encoder"]))
    assert all(leaf.all() for leaf in jax.tree.leaves(steps["head"]))


@pytest.mark.parametrize("decay", [0.0, 1.5, -0.65])
def test_decay_out_of_range_is_refused(decay):
    tx = OPTIMIZERS["adamw"](learning_rate=RATE, layer_decay=decay)
    with pytest.raises(ValueError, match=f"layer_decay = {decay} must be in"):
        tx.init(PARAMS)


def test_networks_without_blocks_are_refused():
    tx = OPTIMIZERS["adamw"](learning_rate=RATE, layer_decay=D)
    with pytest.raises(ValueError, match="no parameter lies in a 'block0'"):
        tx.init({"encoder": {"stage0": {"kernel": jnp.ones((2, 2))}}})
