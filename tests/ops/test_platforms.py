"""Functions with a form for CPUs: a loop there, one wide program elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.platforms import (
    apply_if,
    gradient_made_once,
    looped,
    looping,
    made_once,
    one_by_one,
)


def darker(flag, image, by):
    return apply_if(flag, lambda x: x * by, image)


@pytest.fixture
def rows(rng):
    flags = jnp.arange(6) % 2 == 0
    return flags, rng.random((6, 4, 5, 3)).astype(np.float32), jnp.float32(0.5)


def test_mapping_once_or_twice_is_vmap(rows):
    flags, images, by = rows
    expected = np.where(np.arange(6) % 2 == 0, 0.5, 1.0)[:, None, None, None] * images
    once = jax.jit(jax.vmap(one_by_one(darker), (0, 0, None)))
    np.testing.assert_array_equal(once(flags, images, by), expected)
    inner = jax.vmap(one_by_one(darker), (0, None, None))  # Two flags, one image.
    twice = jax.jit(jax.vmap(inner, (None, 0, None)))(flags[:2], images, by)
    np.testing.assert_array_equal(twice[:, 0], 0.5 * images)
    np.testing.assert_array_equal(twice[:, 1], images)


@pytest.mark.parametrize(("platform", "loops"), [("cpu", 1), ("tpu", 0), ("cuda", 0)])
def test_the_form_is_chosen_when_the_program_is_lowered(rows, platform, loops):
    seen = []

    def fn(flag, image, by):
        seen.append(looped())
        return darker(flag, image, by)

    mapped = jax.jit(jax.vmap(one_by_one(fn), (0, 0, None)))
    text = mapped.trace(*rows).lower(lowering_platforms=(platform,)).as_text()
    assert text.count("stablehlo.while") == loops
    assert ("stablehlo.select" in text) == (not loops)
    assert set(seen) == {True, False}
    assert not looped()


def test_arguments_may_be_absent_and_trees():
    def fn(pair, extra):
        assert extra is None
        return {"sum": pair["a"] + pair["b"]}

    pair = {"a": jnp.arange(3.0), "b": jnp.float32(1)}
    out = jax.vmap(one_by_one(fn), ({"a": 0, "b": None}, None))(pair, None)
    np.testing.assert_array_equal(out["sum"], [1, 2, 3])


def test_both_forms_of_a_condition_agree(rows):
    _, images, by = rows
    for flag in (True, False):
        wide = darker(jnp.asarray(flag), images[0], by)
        with looping(True):
            alone = darker(jnp.asarray(flag), images[0], by)
        np.testing.assert_array_equal(alone, wide)


def test_what_is_made_once_is_itself_and_so_is_its_gradient(rng):
    x, witness = (rng.normal(size=(3, 4)).astype(np.float32) for _ in range(2))
    for fn in (made_once, gradient_made_once):
        value, pull = jax.vjp(jax.jit(fn), x, witness)
        np.testing.assert_array_equal(value, x)
        to_x, to_witness = pull(2 * x)
        np.testing.assert_array_equal(to_x, 2 * x)
        np.testing.assert_array_equal(to_witness, 0)


def test_only_a_program_for_a_cpu_has_the_branch_that_nothing_is_fused_across():
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((64, 8), (8,))]
    traced = jax.jit(lambda x, w: made_once(jnp.abs(x), w) + 1).trace(*shapes)
    assert " conditional(" in traced.lower().compile().as_text()
    for platform in ("tpu", "cuda"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert "is_finite" not in text
