import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.paths import leaf_names
from jax_ssl.nn.affine import LayerNorm
from jax_ssl.nn.transformer import Block, Branch, attention
from tests.references import nn_layers as reference


def random_params(module, x, rng):
    abstract = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    draw = lambda leaf: jnp.asarray(rng.normal(0.3, 0.4, leaf.shape), leaf.dtype)
    return jax.tree.map(draw, abstract)


def run(module, params, x, key=None, **arguments):
    def apply(params, x, key):
        rngs = None if key is None else {"drop_path": key}
        return module.apply({"params": params}, x, rngs=rngs, **arguments)

    return np.asarray(jax.jit(apply)(params, x, key).astype(jnp.float32))


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 1, 2, 7)])
def test_attention_is_the_reference(rng, shape):
    q, k, v = rng.normal(0, 2, (3, *shape)).astype(np.float32)
    np.testing.assert_allclose(
        attention(q, k, v), reference.attention(q, k, v), rtol=1e-5, atol=1e-6
    )


def test_attention_gradient_is_that_of_central_differences(rng):
    qkv = rng.normal(size=(3, 1, 3, 2, 2)).astype(np.float32)
    weights = rng.normal(size=qkv.shape[1:])
    found = jax.grad(lambda qkv: jnp.sum(attention(*qkv) * weights))(qkv)
    point = qkv.astype(np.float64)
    for place in np.ndindex(point.shape):
        step = np.zeros_like(point)
        step[place] = 1e-5
        above, below = (
            np.sum(reference.attention(*(point + sign * step)) * weights)
            for sign in (1, -1)
        )
        np.testing.assert_allclose(
            found[place], (above - below) / 2e-5, rtol=1e-4, atol=1e-5
        )


def test_softmax_of_bfloat16_attention_is_float32():
    # Two keys whose scores, 256 and 257, are one number in bfloat16.
    q = jnp.asarray([[[[16.0, 1.0]]]], jnp.bfloat16)
    k = jnp.asarray([[[[16.0, 0.0]], [[16.0, 1.0]]]], jnp.bfloat16)
    v = jnp.asarray([[[[0.0, 0.0]], [[1.0, 1.0]]]], jnp.bfloat16)
    q = q * jnp.asarray(2**0.5, jnp.bfloat16)  # Undoes 1 / √d.
    found = attention(q, k, v)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found[0, 0, 0], 1 / (1 + np.exp(-1)), atol=0.01)


@pytest.mark.parametrize(("dim", "num_heads", "tokens"), [(6, 2, 5), (4, 1, 1)])
def test_block_is_the_reference(rng, dim, num_heads, tokens):
    x = rng.normal(size=(2, tokens, dim)).astype(np.float32)
    block = Block(num_heads)
    params = random_params(block, x, rng)
    leaves = dict(zip(leaf_names(params), jax.tree.leaves(params), strict=True))
    leaves = {name: np.asarray(leaf, np.float64) for name, leaf in leaves.items()}
    want = reference.block(x.astype(np.float64), leaves, num_heads)
    found = run(block, params, x)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def test_block_commutes_with_the_order_of_tokens(rng):
    x = rng.normal(size=(2, 5, 8)).astype(np.float32)
    block = Block(2)
    params = random_params(block, x, rng)
    order = rng.permutation(5)
    found = run(block, params, x[:, order])
    want = run(block, params, x)[:, order]
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_layer_norm_keeps_digits_under_a_large_mean(rng):
    x = (1e3 + rng.normal(size=(4, 64))).astype(np.float32)
    found = LayerNorm().apply(
        {"params": {"scale": jnp.ones(64), "bias": jnp.zeros(64)}}, x
    )
    want = reference.layer_norm(x.astype(np.float64), 1, 0)
    np.testing.assert_allclose(found, want, atol=2e-4)


def test_drop_path_drops_whole_rows_and_keeps_the_mean():
    x = jnp.ones((4000, 2, 3))
    branch = Branch(drop_path=0.25)
    key = {"drop_path": jax.random.key(1)}
    y = np.asarray(branch.apply({}, x, train=True, rngs=key))
    rows = y[:, :1, :1]
    np.testing.assert_array_equal(y, np.broadcast_to(rows, y.shape))
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
    # Five standard deviations of a mean of 4000 draws.
    assert abs(y.mean() - 1) < 5 * np.sqrt(0.25 / 0.75 / 4000)
    np.testing.assert_array_equal(branch.apply({}, x, train=False), x)


def test_branches_of_a_block_drop_on_their_own(rng):
    x = rng.normal(size=(64, 1, 4)).astype(np.float32)
    block = Block(1, drop_path=0.5)
    params = random_params(block, x, rng)
    apply = lambda: run(block, params, x, jax.random.key(0), train=True)
    y = apply()
    # A fourth of the rows passes unchanged: both branches dropped.
    untouched = np.mean(np.all(y == x, axis=(1, 2)))
    assert 0.1 < untouched < 0.4
    np.testing.assert_array_equal(y, apply())


def test_layer_scale_starts_at_its_setting_and_scales_the_branch(rng):
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    branch = Branch(layer_scale=0.1)
    variables = branch.init(jax.random.key(0), x, train=False)
    np.testing.assert_allclose(variables["params"]["scale"], np.full(4, 0.1))
    np.testing.assert_allclose(
        branch.apply(variables, x, train=False), 0.1 * x, rtol=1e-6
    )
    assert Branch().init(jax.random.key(0), x, train=False) == {}


def test_bfloat16_block_stores_float32(rng):
    x = rng.normal(size=(2, 5, 8)).astype(np.float32)
    block = Block(2, dtype=jnp.bfloat16)
    params = random_params(block, x, rng)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    dtype = jax.eval_shape(block.apply, {"params": params}, x).dtype
    assert dtype == jnp.bfloat16
    wide, narrow = run(Block(2), params, x), run(block, params, x)
    assert 1e-6 < np.abs(narrow - wide).max() < 0.05 * np.abs(wide).max()
