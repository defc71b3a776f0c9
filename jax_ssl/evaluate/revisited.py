"""The rules of revisited Oxford and Paris for rankings: easy, medium and hard.

Radenović et al., 2018, "Revisiting Oxford and Paris: Large-Scale Image Retrieval
Benchmarking", arXiv:1803.11285. A query has easy and hard images of its
building, and junk: images that are neither right nor wrong, and are taken out of the
ranking before it is judged.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from jax_ssl.core import checks


class Answers(NamedTuple):
    """What is right for one query, by number of the image in the data base.

    Attributes:
        positives: [p] integers.
        junk: [j] integers, none of them among the positives.
    """

    positives: np.ndarray
    junk: np.ndarray


def answers(
    easy: np.ndarray,
    hard: np.ndarray,
    junk: np.ndarray,
    setup: Literal["easy", "medium", "hard"],
) -> Answers:
    """Positives and junk of a query in one of the three setups.

    In "easy" the easy images are right and the hard ones are junk, in "medium" both are
    right, and in "hard" the hard images are right and the easy ones are junk.

    Args:
        easy: [e] integers, images that show the building clearly.
        hard: [h] integers, images on which it is hard to see.
        junk: [j] integers, junk in all setups.
        setup: one of the three.

    Raises:
        ValueError: if the setup is none of the three.
    """
    checks.one_of(("easy", "medium", "hard"), setup=setup)
    if setup == "medium":
        return Answers(np.concatenate([easy, hard]), np.asarray(junk))
    right, other = (easy, hard) if setup == "easy" else (hard, easy)
    return Answers(np.asarray(right), np.concatenate([junk, other]))


def places_of(ranking: np.ndarray, wanted: Answers) -> np.ndarray:
    """Places of the positives in a ranking without its junk.

    Args:
        ranking: [n] integers, the images of the data base from the nearest on.
        wanted: of the query.

    Returns:
        [p] int64, rising, the first place being 0.

    Raises:
        ValueError: if a positive is not in the ranking.
    """
    kept = ranking[~np.isin(ranking, wanted.junk)]
    places = np.flatnonzero(np.isin(kept, wanted.positives))
    if len(places) < len(wanted.positives):
        raise ValueError(
            f"{len(wanted.positives) - len(places)} of {len(wanted.positives)} "
            "positives are not in the ranking; rank the whole data base."
        )
    return places


def average_precision(places: np.ndarray) -> float:
    """The area under the curve of precision and recall, by trapezoids.

    Each positive adds the mean of the precisions just before it and at it, the one
    before the first place being 1.

    Args:
        places: [p] of the positives, rising from 0; at least one.

    Note:
        This is the rule of the Oxford buildings' own program (Philbin et al., 2007),
        which is lower than the mean of the precisions at the positives.
    """
    found = np.arange(len(places))
    before = np.where(places > 0, found / np.maximum(places, 1), 1.0)
    return float(np.mean((before + (found + 1) / (places + 1)) / 2))


def precision_at(places: np.ndarray, k: int) -> float:
    """The share of positives among the first k places.

    Where the last positive comes earlier, it is the share up to there, so that a
    perfect ranking of few positives has 1.

    Args:
        places: [p] of the positives, rising from 0; at least one.
        k: places that are looked at.

    Raises:
        ValueError: if `k` is below 1.
    """
    checks.at_least(1, k=k)
    looked_at = min(k, int(places[-1]) + 1)
    return float(np.sum(places < looked_at) / looked_at)


def means(
    rankings: Iterable[np.ndarray],
    wanted: Iterable[Answers],
    precisions_at: tuple[int, ...] = (1, 5, 10),
) -> dict[str, float | None]:
    """Mean average precision and mean precision at k, over queries with a positive.

    Args:
        rankings: of each query, [n] integers.
        wanted: of each query; one without a positive is left out.
        precisions_at: values of k.

    Returns:
        {"map", "precision_at_K" for each k}; None if no query has a positive.
    """
    found = [
        places_of(ranking, each)
        for ranking, each in zip(rankings, wanted, strict=True)
        if len(each.positives)
    ]
    values: dict[str, float | None] = {
        "map": float(np.mean([average_precision(p) for p in found])) if found else None
    }
    for k in precisions_at:
        shares = [precision_at(places, k) for places in found]
        values[f"precision_at_{k}"] = float(np.mean(shares)) if shares else None
    return values
