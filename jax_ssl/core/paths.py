"""Parameters addressed by path: one rule mechanism for the whole library.

A leaf's path is its keys joined by "/", for example "encoder/stem/conv/kernel". Rules
are (regular expression, value) pairs searched in order; the first match wins.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax

from jax_ssl.core.types import PyTree

T = TypeVar("T")


def path_name(path: tuple) -> str:
    """Joins a `jax.tree_util` key path by "/"; attributes and indices by name."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def leaf_names(tree: PyTree) -> list[str]:
    """Names of all leaves, in the order of `jax.tree.leaves`."""
    return [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def map_named(fn: Callable, tree: PyTree, *rest: PyTree) -> PyTree:
    """Maps `fn(name, leaf, ...)` over the leaves of `tree`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf, *others: fn(path_name(path), leaf, *others), tree, *rest
    )


def first_match(rules: Sequence[tuple[str, T]], name: str) -> T:
    """Value of the first rule whose pattern is found in `name`.

    Raises:
        ValueError: if no rule matches; the message names the leaf and the rules.
    """
    for pattern, value in rules:
        if re.search(pattern, name):
            return value
    patterns = ", ".join(repr(pattern) for pattern, _ in rules) or "none"
    raise ValueError(
        f"no rule matches parameter {name!r} (rules: {patterns}); add a rule, or "
        "end the list with a catch-all pattern ''."
    )


def assign(rules: Sequence[tuple[str, T]], tree: PyTree) -> PyTree:
    """Tree of the shape of `tree` holding each leaf's first matching value.

    Raises:
        ValueError: if some leaf has no rule.
    """
    return map_named(lambda name, _: first_match(rules, name), tree)
