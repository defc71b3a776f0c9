import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from jax_ssl.core.paths import leaf_names
from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.heads import PrototypeHead, Prototypes, head_after
from jax_ssl.nn.transformer import without_drop_path

HEAD = PrototypeHead(7, hidden_dim=16, bottleneck_dim=5, norm_last_layer=False)


def drawn(head, rng, width=6):
    abstract = jax.eval_shape(
        lambda key: head.init(key, jnp.zeros((2, width)), train=False),
        jax.random.key(0),
    )
    draw = lambda leaf: jnp.asarray(rng.normal(0.2, 1, leaf.shape), leaf.dtype)
    return jax.tree.map(draw, abstract)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def test_head_is_the_reference(rng):
    variables = drawn(HEAD, rng)
    x = rng.normal(size=(4, 6))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)[
        "params"
    ]
    y = x
    for i in range(3):
        layer = params["mlp"][f"dense{i}"]
        y = y @ layer["kernel"] + layer["bias"]
        y = gelu(y) if i < 2 else y
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    kernel = params["prototypes"]["kernel"]
    wanted = (
        y @ (kernel / np.linalg.norm(kernel, axis=0)) * params["prototypes"]["gain"]
    )
    x = x.astype(np.float32)
    np.testing.assert_allclose(HEAD.apply(variables, x, train=True), wanted, rtol=1e-4)
    z = HEAD.apply(variables, x, method="bottleneck")
    np.testing.assert_allclose(z, y, rtol=1e-4, atol=1e-6)


def test_without_learned_gain_scores_are_cosines(rng):
    head = HEAD.clone(norm_last_layer=True)
    variables = drawn(head, rng)
    assert leaf_names(variables["params"]["prototypes"]) == ["kernel"]
    scores = head.apply(variables, rng.normal(size=(9, 6)), train=True)
    assert np.abs(scores).max() <= 1 + 1e-6
    longer = jax.tree.map(lambda leaf: leaf, variables)
    longer["params"]["prototypes"]["kernel"] *= 3
    x = rng.normal(size=(2, 6)).astype(np.float32)
    np.testing.assert_allclose(
        head.apply(longer, x, train=True),
        head.apply(variables, x, train=True),
        rtol=1e-5,
    )


def test_first_weights():
    params = HEAD.init(jax.random.key(0), jnp.zeros((1, 512)), train=False)["params"]
    np.testing.assert_allclose(params["mlp"]["dense0"]["kernel"].std(), 0.02, rtol=0.05)
    assert not np.any(params["mlp"]["dense0"]["bias"])
    assert params["prototypes"]["gain"].shape == (1, 7)
    np.testing.assert_array_equal(params["prototypes"]["gain"], 1)
    assert np.abs(params["prototypes"]["kernel"]).max() <= 1 / np.sqrt(5)


def test_scores_of_bfloat16_are_summed_in_float32(rng):
    head = Prototypes(3, dtype=jnp.bfloat16)
    x = jnp.ones((1, 4096)) / 64
    ones = {"params": {"kernel": jnp.ones((4096, 3))}}
    scores = head.apply(ones, x)
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, 1, rtol=1e-2)


def test_batch_norm_goes_between_the_layers():
    head = head_after(ENCODERS["convnet"](widths=(8,), groups=2), 7, norm="batch")
    assert head.groups == 2
    variables = jax.eval_shape(
        lambda key: head.init(key, jnp.zeros((2, 6)), train=False), jax.random.key(0)
    )
    assert set(variables["params"]["mlp"]) == {
        *("dense0", "dense1", "dense2", "norm0", "norm1")
    }
    with pytest.raises(ValueError, match="bottleneck_dim = 0"):
        head_after(ENCODERS["convnet"](widths=(8,)), 7, bottleneck_dim=0)


def test_a_teacher_drops_no_paths():
    vit = ENCODERS["vit"](dim=8, depth=1, num_heads=2, drop_path=0.3)
    assert without_drop_path(vit) == vit.clone(drop_path=0.0)
    convnet = ENCODERS["convnet"](widths=(8,))
    assert without_drop_path(convnet) is convnet
