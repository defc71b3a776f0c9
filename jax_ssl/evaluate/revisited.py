"""The rules of revisited Oxford and Paris for rankings: easy, medium and hard.

Radenović et al., 2018, "Revisiting Oxford and Paris: Large-Scale Image Retrieval
Benchmarking", arXiv:1803.11285. A query has easy and hard images of its
building, and junk: images that are neither right nor wrong, and are taken out of the
ranking before it is judged.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.revisited import ground_truth as read
from jax_ssl.evaluate.part import Part, gathered, on_host
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

SETUPS: tuple[Literal["easy", "medium", "hard"], ...] = ("easy", "medium", "hard")


def revisited(
    *,
    ground_truth: str,
    precisions_at: tuple[int, ...] = (1, 5, 10),
    distractors: int = 0,
) -> Protocol:
    """Ranks the data base by cosine for every query, and judges by the three setups.

    The training part is the data base and the test part the queries, both of the source
    `revisited`, in the order of the ground truth. Photographs of the data base that
    could not be read come last.

    Args:
        ground_truth: the file of the authors, or the folder that holds it; see
            `data.revisited`.
        precisions_at: values k of the mean precision at k.
        distractors: images behind those of the data base in the training part, wrong
            for every query, such as the million of the paper's rows "+R1M"; the
            source's setting of this name reads them.

    Returns:
        A protocol of "map" and "precision_at_K", with an outcome for "easy", "medium"
        and "hard". Queries without a positive in a setup do not count in it.

    Raises:
        FileNotFoundError: if there is no ground truth.
        ValueError: if it cannot be read, or there is no k, or one below 1.
    """
    checks.not_empty(precisions_at=precisions_at)
    checks.at_least(1, precisions_at=precisions_at)
    checks.at_least(0, distractors=distractors)
    truth = read(ground_truth)

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        sizes = len(truth.images) + distractors, len(truth.queries)
        there = tuple(
            int(part.counts.sum()) + part.detail.get("corrupt_examples", 0)
            for part in (train, test)
        )
        if there != sizes:
            yield Skipped(
                f"the parts have {there[0]} and {there[1]} images, and the ground "
                f"truth {len(truth.images)} of the data base"
                f"{f' + {distractors} distractors' * (distractors > 0)} and {sizes[1]} "
                "queries; judge the source revisited, split=database and split=queries"
            )
            return
        known, numbers = (part.rows[part.counts] for part in (train, test))
        # Distractors that could not be read are not missed.
        lost = np.setdiff1d(np.arange(len(truth.images)), known)
        scores = similarities(_unit(on_host(test.values)[test.counts]), train)
        order = np.argsort(-scores, axis=1, kind="stable")
        rankings = [np.concatenate([known[each], lost]) for each in order]
        notes = []
        if len(lost):
            notes.append(f"{len(lost)} photographs are not there and come last.")
        if gone := sizes[1] - len(numbers):
            notes.append(f"{gone} queries are not there and are left out.")
        for setup in SETUPS:
            wanted = [
                answers(query.easy, query.hard, query.junk, setup)
                for query in (truth.queries[number] for number in numbers)
            ]
            values = means(rankings, wanted, tuple(precisions_at))
            if values["map"] is None:
                yield Skipped(f"no query has a positive in the setup {setup!r}")
                continue
            more = {"distractors": distractors} if distractors else {}
            plural = "s" * (distractors > 1)
            among = f", {distractors:,} distractor{plural}" if distractors else ""
            yield Outcome(
                title=f"{setup}{among}",
                settings={
                    "setup": setup,
                    "precisions_at": tuple(precisions_at),
                    **more,
                },
                values=values,
                detail={
                    "queries": sum(len(each.positives) > 0 for each in wanted),
                    **({"note": " ".join(notes)} if notes else {}),
                },
                remark="retrieval by cosine, without whitening or several scales",
            )

    metrics = Metric("map"), *(Metric(f"precision_at_{k}") for k in precisions_at)
    return Protocol(name="revisited", needs=(), metrics=metrics, run=run)


def similarities(asked: np.ndarray, bank: Part) -> np.ndarray:
    """Cosines of some vectors with all examples of a part, block by block.

    Args:
        asked: [q, D] float64, of unit length.
        bank: n examples.

    Returns:
        [q, n] float64, in the order of the places that count.
    """
    found = np.zeros((len(asked), len(bank.rows)))
    for values, numbers in bank.values.blocks():
        here = bank.counts[numbers]
        found[:, numbers[here]] = asked @ _unit(gathered(values)[here]).T
    return found[:, bank.counts]


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


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths, float64."""
    x = x.astype(np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
