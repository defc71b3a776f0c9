"""Retrieval: are the images nearest to a test image of its class?

Mean average precision as Weyand et al. (2020, arXiv:2004.01804) define it for
landmarks, and the share of queries with a right answer among the first few.
"""

from collections.abc import Iterator

import numpy as np

from jax_ssl.core import checks
from jax_ssl.evaluate.knn import neighbours
from jax_ssl.evaluate.part import Part, gathered
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped, classes_of


def retrieval(
    *,
    recall_at: tuple[int, ...] = (1, 5, 10),
    depth: int = 1000,
    label: str = "label",
) -> Protocol:
    """Ranks the training part by cosine for every test example.

    The average precision of a query is the sum, over the places of the first `depth`
    that hold an example of its class, of the share of such examples up to that place,
    divided by the number of places that could hold one: its class's training examples,
    or `depth` if they are more. A query whose class the training part lacks has no
    right answer; it is left out, and the result says how many were.

    Args:
        recall_at: places k of "recall at k", the share of queries with at least one
            right answer among their first k.
        depth: places of the ranking that are looked at; 100 in the paper.
        label: field that says which answers are right.

    Raises:
        ValueError: if a setting is below 1, or a k is more than `depth`, or there is
            no k.
    """
    checks.not_empty(recall_at=recall_at)
    checks.at_least(1, recall_at=recall_at, depth=depth)
    checks.rising(recall_at=max(recall_at), depth=depth)

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        classes, known, asked = classes_of(train, test, label)
        members = np.bincount(known[known >= 0], minlength=len(classes))
        places = min(depth, int(train.counts.sum()))
        precisions, firsts = [], []
        for numbers, _, rows in neighbours(train, test, places):
            own = asked[numbers]
            answerable = (own >= 0) & (members[own] > 0)
            own, found = own[answerable], gathered(rows)[answerable]
            right = known[found] == own[:, None]
            precision = right.cumsum(1) / np.arange(1, places + 1)
            possible = np.minimum(members[own], places)
            precisions.append((precision * right).sum(1) / possible)
            firsts.append(np.where(right.any(1), right.argmax(1), places))
        average, first = np.concatenate(precisions), np.concatenate(firsts)
        if not len(average):
            yield Skipped("no test example is of a class that the training part has")
            return
        left_out = int(test.counts.sum()) - len(average)
        note = f"{left_out} queries have no right answer and are left out."
        yield Outcome(
            title="retrieval",
            settings={"recall_at": tuple(recall_at), "depth": depth},
            values={
                "map": float(average.mean()),
                **{f"recall_at_{k}": float((first < k).mean()) for k in recall_at},
            },
            detail={"note": note} if left_out else {},
            remark=f"retrieval: mAP over the first {places} places, by cosine",
        )

    recalls = tuple(Metric(f"recall_at_{k}") for k in recall_at)
    metrics = (Metric("map"), *recalls)
    return Protocol(name="retrieval", needs=(label,), metrics=metrics, run=run)
