"""The error of predicted camera motion, on short snippets and on whole trajectories.

Snippets are those of Zhou et al. (2017, arXiv:1704.07813). Their evaluation, which
later papers took over, calls sqrt(sum of squared distances) / N a root mean square: it
is the true one divided by sqrt(N). Both are given here, by names of their own.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate.measured import predicting
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

METRICS = (
    Metric("snippet_ate", "m", "lower"),
    Metric("snippet_rmse", "m", "lower"),
    Metric("trajectory_ate", "m", "lower"),
)
DRAWN, POINTS = 3, 200  # Trajectories that are drawn, and points of each.
CLOSE = 1e-3  # By how much motions that should be one may differ, in metres.


def ego_motion(
    *, snippet: int = 5, alignment: Literal["similarity", "scale"] = "similarity"
) -> Protocol:
    """Error of camera positions, in metres, after the scale has been fitted.

    Snippets are the first frames of every film or, where films are shorter, of the
    chains that are made of the films of one "sequence", whose rows must lie in order
    and begin one frame apart. Each snippet begins at its first camera; the scale is sum
    (true . found) / sum (found . found). "snippet_ate" is sqrt(sum of squared
    distances) / frames, which papers publish; "snippet_rmse" is sqrt(sum of squared
    distances / frames). Both are means over snippets, with the spread of the first.

    "trajectory_ate" is the root mean squared distance along a whole sequence, chained
    from the motion between the first two frames of every film, and the mean over
    sequences.

    The baseline "straight_ahead" moves forward at a constant speed.

    Args:
        snippet: frames of a snippet.
        alignment: of whole trajectories, in the least squares: a "similarity"
            (rotation, translation and scale, Umeyama 1991), or the "scale" alone with
            the first cameras laid onto each other.

    Raises:
        ValueError: if a setting is out of range.
    """
    checks.at_least(2, snippet=snippet)

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        found, true = said["poses"], fields["poses"]
        if found.shape != true.shape:
            raise ValueError(
                f"ego_motion: of every film {len(found)} poses are predicted, and the "
                f"data have {len(true)}; choose films and a config.evals.view of the "
                "same number of frames."
            )
        number = jnp.asarray(fields.get("sequence", -1), jnp.float32)
        return jnp.concatenate([found.ravel(), true.ravel(), number[None]])

    def straight_ahead(seen: Views, fields: Example) -> Mapping[str, Array]:
        del seen
        count = len(fields["poses"])
        still = jnp.broadcast_to(jnp.eye(3, 4), (count, 3, 4))
        return {"poses": still.at[:, 2, 3].set(jnp.arange(count, dtype=jnp.float32))}

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        found, true = poses_of(numbers[:, :-1])
        chains = chained(found, true, numbers[:, -1])
        if true.shape[1] >= snippet:
            pieces = positions(found[:, :snippet]), positions(true[:, :snippet])
        else:
            pieces = cut_snippets(chains.values(), snippet)
        if not len(pieces[0]):
            yield Skipped(
                f"films of {true.shape[1]} frames make no snippets of {snippet}: they "
                'have no "sequence", or do not begin one frame apart, or are too few'
            )
            return
        squares = squared_distances(*pieces)
        published, real = np.sqrt(squares) / snippet, np.sqrt(squares / snippet)
        laid = {
            name: aligned(positions(one), positions(other), alignment)
            for name, (one, other) in chains.items()
        }
        errors = {n: rmse(*pair) for n, pair in laid.items()}
        longest = sorted(laid, key=lambda name: -len(laid[name][0]))[:DRAWN]
        yield Outcome(
            title="ego-motion",
            settings={"snippet": snippet, "alignment": alignment},
            values={
                "snippet_ate": float(published.mean()),
                "snippet_rmse": float(real.mean()),
                "trajectory_ate": float(np.mean([*errors.values()]))
                if errors
                else None,
            },
            spread=float(published.std()),
            detail={"snippets": len(squares), "trajectory_ate_by_sequence": errors},
            remark=f"ego-motion: snippets of {snippet} frames, scaled one by one; "
            f"trajectories aligned by a {alignment}",
            tracks={name: drawn(*laid[name]) for name in longest},
        )

    return predicting(
        "ego_motion",
        ("poses",),
        measure,
        outcomes,
        needs={"poses": "poses"},
        metrics=METRICS,
        baselines={"straight_ahead": straight_ahead},
        optional=("sequence",),
    )


def poses_of(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Found and true poses [n, T, 4, 4], cameras to camera 0, from [n, 24 T]."""
    rows = numbers.reshape(len(numbers), 2, -1, 3, 4)
    last = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (*rows.shape[:3], 1, 4))
    whole = np.concatenate([rows, last], axis=3)
    return whole[:, 0], whole[:, 1]


def positions(poses: np.ndarray) -> np.ndarray:
    """Places [..., 3] of cameras [..., 4, 4]."""
    return poses[..., :3, 3]


def chained(
    found: np.ndarray, true: np.ndarray, sequences: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Found and true poses [K + T - 1, 4, 4] along each sequence of K films.

    Sequences whose films do not begin one frame apart, which the true poses of films of
    three frames give away, are left out.
    """
    chains = {}
    for number in np.unique(sequences[sequences >= 0]):
        mine = sequences == number
        if len(true[0]) > 2:
            follows = np.linalg.solve(true[mine][:-1, 1], true[mine][:-1, 2])
            if np.abs(follows - true[mine][1:, 1]).max(initial=0.0) > CLOSE:
                continue
        chains[f"sequence {number:g}"] = _chain(found[mine]), _chain(true[mine])
    return chains


def _chain(poses: np.ndarray) -> np.ndarray:
    """Poses along the films [K, T, 4, 4] that begin one frame apart."""
    steps = itertools.accumulate(poses[:-1, 1], np.matmul, initial=np.eye(4))
    starts = np.stack([*steps])
    return np.concatenate([starts[:-1], starts[-1] @ poses[-1]])


def cut_snippets(
    chains: Iterable[tuple[np.ndarray, np.ndarray]], snippet: int
) -> tuple[np.ndarray, np.ndarray]:
    """Found and true positions [m, snippet, 3] of all snippets of the chains."""
    kept: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for pair in chains:
        for own, poses in zip(kept, pair, strict=True):
            for first in range(len(poses) - snippet + 1):
                piece = np.linalg.solve(poses[first], poses[first : first + snippet])
                own.append(positions(piece))
    found, true = (np.reshape(own, (-1, snippet, 3)) for own in kept)
    return found, true


def squared_distances(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Sums [m] of squared distances of positions [m, N, 3], each snippet scaled.

    The first positions are laid onto each other.
    """
    found, true = (x - x[:, :1] for x in (found, true))
    size = (found**2).sum((1, 2))
    scale = (found * true).sum((1, 2)) / np.where(size > 0, size, 1.0)
    return ((scale[:, None, None] * found - true) ** 2).sum((1, 2))


def aligned(
    found: np.ndarray, true: np.ndarray, alignment: str
) -> tuple[np.ndarray, np.ndarray]:
    """Found positions [N, 3], moved and scaled onto the true ones, and these."""
    middles = [x[:1] if alignment == "scale" else x.mean(0) for x in (found, true)]
    a, b = found - middles[0], true - middles[1]
    turn = np.eye(3)
    if alignment == "similarity":
        u, _, vt = np.linalg.svd(b.T @ a)
        turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    a = a @ turn.T
    size = (a**2).sum()
    return a * ((a * b).sum() / (size if size > 0 else 1.0)) + middles[1], true


def rmse(found: np.ndarray, true: np.ndarray) -> float:
    """Root of the mean squared distance of positions [N, 3]."""
    return float(np.sqrt(((found - true) ** 2).sum(-1).mean()))


def drawn(found: np.ndarray, true: np.ndarray) -> Mapping[str, Sequence[Any]]:
    """Both paths from above, (x, z) in metres, as lists of `POINTS` at most."""
    kept = np.linspace(0, len(true) - 1, min(POINTS, len(true))).round().astype(int)
    paths = {"true": true, "found": found}
    return {name: x[kept][:, [0, 2]].round(3).tolist() for name, x in paths.items()}
