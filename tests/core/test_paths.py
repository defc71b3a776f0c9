"""Paths: how leaves are named, and which rule a leaf gets."""

from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import pytest

from jax_ssl.core.paths import assign, first_match, leaf_names, map_named


class Pair(NamedTuple):
    left: jax.Array
    right: jax.Array


class Node(flax.struct.PyTreeNode):
    inner: dict


def test_names_join_keys_attributes_and_indices():
    tree = {
        "encoder": {"stem": {"kernel": 1}},
        "pair": Pair(2, [3, (4,)]),
        "node": Node({"x": 5}),
    }
    assert leaf_names(tree) == [
        "encoder/stem/kernel",
        "node/inner/x",
        "pair/left",
        "pair/right/0",
        "pair/right/1/0",
    ]


def test_names_are_in_the_order_of_the_leaves():
    tree = {"b": 1, "a": {"d": 2, "c": 3}}
    named = dict(zip(leaf_names(tree), jax.tree.leaves(tree), strict=True))
    assert named == {"a/c": 3, "a/d": 2, "b": 1}


def test_a_bare_leaf_has_no_name():
    assert leaf_names(3) == [""]


def test_map_named_hands_over_name_and_leaves():
    got = map_named(lambda name, a, b: (name, a + b), {"x": {"y": 1}}, {"x": {"y": 2}})
    assert got == {"x": {"y": ("x/y", 3)}}


def test_the_first_match_wins_and_may_be_anywhere_in_the_name():
    rules = [("^encoder/", "a"), ("kernel$", "b"), ("", "c")]
    assert first_match(rules, "encoder/kernel") == "a"
    assert first_match(rules, "head/encoder/kernel") == "b"
    assert first_match(rules, "head/bias") == "c"


def test_a_rule_may_hold_none():
    assert first_match([("", None)], "x") is None


def test_a_leaf_without_a_rule_is_named_with_the_rules():
    with pytest.raises(ValueError, match="'head/bias'") as error:
        first_match([("^encoder/", 1), ("kernel", 2)], "head/bias")
    assert "'^encoder/', 'kernel'" in str(error.value)
    with pytest.raises(ValueError, match="rules: none"):
        first_match([], "x")


def test_assign_keeps_the_structure_and_works_on_abstract_leaves():
    params = {"encoder": {"kernel": jnp.ones(2)}, "head": {"kernel": jnp.ones(3)}}
    abstract = jax.eval_shape(lambda: params)
    got = assign([("^head", "fast"), ("", "slow")], abstract)
    assert got == {"encoder": {"kernel": "slow"}, "head": {"kernel": "fast"}}
