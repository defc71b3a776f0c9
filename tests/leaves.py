"""Comparisons of trees of arrays whose failures name the leaves that are off."""

from collections.abc import Callable

import jax
import numpy as np

from jax_ssl.core.paths import path_name


def named(tree) -> dict[str, np.ndarray]:
    """Every leaf by its name, as a NumPy array; of keys their data."""

    def array(leaf):
        if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)

    return {
        path_name(path): array(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def assert_same_kind(found, wanted):
    """Leaves have the same names, shapes and dtypes; works on abstract leaves too."""

    def kinds(tree):
        return {
            path_name(path): (tuple(leaf.shape), leaf.dtype)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }

    found, wanted = kinds(found), kinds(wanted)
    off = [
        f"{name}: {found.get(name)}, not {wanted.get(name)}"
        for name in {**wanted, **found}
        if found.get(name) != wanted.get(name)
    ]
    assert not off, "\n".join(off)


def assert_equal(found, wanted):
    """Every leaf is the same, number for number."""
    _compare(found, wanted, lambda a, b: np.zeros(()))


def assert_close(found, wanted, *, rtol=0.0, atol=0.0):
    """Every number is within rtol |wanted| + atol."""
    _compare(found, wanted, lambda a, b: rtol * np.abs(b) + atol)


def assert_near(found, wanted, tolerance, *, least=0.0):
    """Every number is within `tolerance` of its leaf's largest, or of `least`."""
    _compare(
        found,
        wanted,
        lambda a, b: tolerance * max(least, np.abs(b).max(initial=0.0)),
    )


def _compare(found, wanted, allowed: Callable[[np.ndarray, np.ndarray], np.ndarray]):
    found, wanted = named(found), named(wanted)
    assert list(found) == list(wanted), (
        f"one has the leaves {sorted(found.keys() - wanted.keys())} alone, the other "
        f"{sorted(wanted.keys() - found.keys())}, of {len(wanted)}"
    )
    off = []
    for name, b in wanted.items():
        a = found[name]
        if a.shape != b.shape:
            off.append(f"{name}: shape {a.shape}, not {b.shape}")
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        limit = np.broadcast_to(allowed(a, b), b.shape)
        # A difference with NaN or of infinities is never within a limit.
        with np.errstate(invalid="ignore"):
            error = np.abs(a - b)
            bad = ~(same | (error <= limit))
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            worst = np.nanmax(np.where(bad, error, 0.0))
            off.append(
                f"{name}: {bad.sum()} of {bad.size} numbers are off, by up to "
                f"{worst:.3g} where {limit[at]:.3g} is allowed; at {list(at)} "
                f"{a[at]:.9g}, not {b[at]:.9g}"
            )
    assert not off, "\n".join(off)
