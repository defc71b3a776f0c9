"""Trees: the moving average at its limits, norms, casts, counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.trees import cast, count, ema, global_norm


@pytest.fixture
def trees(rng):
    def draw(step):
        return {
            "kernel": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32),
            "half": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
            "step": jnp.asarray(step, jnp.int32),
            "flag": jnp.asarray(step > 1),
        }

    return draw(1), draw(2)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("jitted", [False, True])
def test_momentum_one_keeps_and_momentum_zero_copies(trees, jitted):
    old, new = trees
    average = jax.jit(ema) if jitted else ema
    kept = average(old, new, 1.0)
    for name in ("kernel", "half"):
        np.testing.assert_array_equal(kept[name], old[name])
    assert_equal(average(old, new, 0.0), new)


def test_between_them_it_is_the_weighted_mean(trees):
    old, new = trees
    got = ema(old, new, 0.75)
    expected = 0.75 * np.float64(old["kernel"]) + 0.25 * np.float64(new["kernel"])
    np.testing.assert_allclose(got["kernel"], expected, rtol=1e-6)


def test_counters_and_flags_come_from_the_new_tree(trees):
    got = ema(*trees, 0.999)
    assert got["step"] == 2
    assert got["flag"]
    assert got["step"].dtype == jnp.int32


def test_leaves_keep_the_dtype_of_the_old_tree(trees):
    old, new = trees
    new = {**new, "half": new["half"].astype(jnp.float32)}
    got = ema(old, new, 0.5)
    assert jax.tree.map(lambda x: x.dtype, got) == jax.tree.map(lambda x: x.dtype, old)


def test_a_slow_average_of_half_precision_is_rounded_once():
    # In bfloat16 throughout, 1 - 0.996 would itself be off by 2 %.
    old, new = jnp.full(4, 1.0, jnp.bfloat16), jnp.full(4, 9.0, jnp.bfloat16)
    expected = jnp.asarray(1 + (1 - 0.996) * 8, jnp.bfloat16)
    np.testing.assert_array_equal(ema(old, new, 0.996), jnp.full(4, expected))


def test_equal_trees_stay_bit_equal_at_any_momentum(trees):
    old, _ = trees
    for momentum in (0.0, 0.3, 0.996, 1.0):
        assert_equal(ema(old, old, momentum), old)


def test_a_constant_target_is_approached_geometrically(rng):
    start, target = (jnp.asarray(rng.normal(size=6), jnp.float32) for _ in range(2))
    value = start
    for _ in range(10):
        value = ema(value, target, 0.9)
    expected = target + 0.9**10 * (np.float64(start) - np.float64(target))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_no_gradient_flows_into_the_new_tree(rng):
    a, b = (jnp.asarray(rng.normal(size=3), jnp.float32) for _ in range(2))
    to_old, to_new = jax.grad(lambda a, b: ema(a, b, 0.9).sum(), (0, 1))(a, b)
    assert not to_new.any()
    np.testing.assert_allclose(to_old, np.full(3, 0.9), rtol=1e-6)


def test_momentum_may_be_traced(trees):
    old, new = trees
    got = jax.jit(ema)(old, new, jnp.float32(0.25))
    np.testing.assert_allclose(got["kernel"], ema(old, new, 0.25)["kernel"], rtol=1e-6)


def test_global_norm_is_of_all_leaves_in_float32():
    tree = {"a": jnp.full(9, 1.0), "b": jnp.full((4, 4), 1.0, jnp.bfloat16)}
    norm = global_norm(tree)
    assert norm.dtype == jnp.float32
    assert norm == 5
    # 2**16 squares of 2**-8 summed in bfloat16 would stop growing.
    np.testing.assert_allclose(global_norm(jnp.full(2**16, 2**-8, jnp.bfloat16)), 1.0)


def test_cast_touches_floats_only():
    tree = {"x": jnp.ones(2), "n": jnp.ones(2, jnp.int32), "key": jax.random.key(0)}
    got = cast(tree, jnp.bfloat16)
    assert got["x"].dtype == jnp.bfloat16
    assert got["n"].dtype == jnp.int32
    assert got["key"].dtype == tree["key"].dtype


def test_counts_work_on_abstract_leaves():
    make = lambda: {"w": jnp.ones((3, 4)), "h": jnp.ones(5, jnp.bfloat16)}
    for tree in (make(), jax.eval_shape(make)):
        assert count(tree) == 17
