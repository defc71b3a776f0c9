"""Trees as flat dictionaries of "/"-joined names, and how two of them differ."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from jax_ssl.core.paths import path_name
from jax_ssl.core.types import PyTree

SHOWN = 8


def is_key(leaf: Any) -> bool:
    """Whether `leaf` is an array of typed PRNG keys, abstract or not."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def key_impl(leaf: Any) -> str:
    """Name of the generator of a key array, abstract or not, e.g. "threefry2x32"."""
    names: list[str] = []
    jax.eval_shape(lambda keys: names.append(str(jax.random.key_impl(keys))), leaf)
    return names[0]


def by_name(tree: PyTree) -> dict[str, Any]:
    """Leaves by name, in the order of `jax.tree.leaves`.

    Raises:
        ValueError: if two leaves share a name, as {"a/b": ...} and {"a": {"b": ...}}.
    """
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = path_name(path)
        if name in named:
            raise ValueError(
                f"two leaves are named {name!r}; rename a module so that none of its "
                "keys holds a '/'."
            )
        named[name] = leaf
    return named


def array_text(leaf: Any) -> str:
    """Dtype and shape, for example "float32[8, 3]"."""
    return f"{jax.numpy.dtype(leaf.dtype).name}{list(leaf.shape)}"


def shape_text(leaf: Any) -> str:
    """The shape alone, for example "[8, 3]"."""
    return str(list(leaf.shape))


def describe_differences(
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    describe: Callable[[Any], str] = array_text,
) -> list[str]:
    """Lines naming the leaves in which two flat trees differ; empty where they agree.

    Args:
        wanted: name -> anything with `shape` and `dtype`.
        found: the same, as stored.
        describe: what must agree of two leaves, in words.
    """
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    changed = [
        f"{name} ({describe(found[name])} there, {describe(wanted[name])} here)"
        for name in wanted
        if name in found and describe(found[name]) != describe(wanted[name])
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("different", changed))
    return [f"{title}: {_some(names)}" for title, names in groups if names]


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
