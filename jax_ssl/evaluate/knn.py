"""The k-nearest-neighbour classifier with a weighted vote.

Wu et al., 2018, "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination", arXiv:1805.01978, section 3.4; settings of Caron et al., 2021 (DINO),
arXiv:2104.14294. Nothing is trained, so its answer depends on no optimiser.
"""

from collections.abc import Iterator
from functools import partial, reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.evaluate.part import Part, on_mesh
from jax_ssl.evaluate.protocol import Outcome, Protocol, classes_of
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.neighbors import ABSENT, merged, nearest
from jax_ssl.parallel.rows import map_shards
from jax_ssl.parallel.together import together

QUERIES = 1024  # That a device asks about at a time; memory grows with it.


def knn(
    *,
    k: int = 200,
    temperature: float = 0.1,
    reads: Literal["pooled", "head"] = "pooled",
    label: str = "label",
) -> Protocol:
    """The weighted k-NN classifier of the training part on the test part, and 1-NN.

    The similarity s is the cosine. Each of the k nearest training examples adds
    exp(s / temperature) to its class, and the class with the largest sum is predicted,
    the lowest label among equals. Exact: every test example is compared with every
    training example. Queries travel around the devices, the bank stays where it is.

    Args:
        k: neighbours that vote; where it is more than there are training examples, all
            of them vote, and the result says so.
        temperature: positive; a large one weighs all k alike. Published values:
            0.07 on ImageNet (with k = 200 NPID, 20 DINO and DINOv2), 0.1 on CIFAR-10.
        reads: "pooled" features of the encoder, or what the method's "head" makes of
            them, as NPID and MoCo's CIFAR-10 demonstration have it. Then the head of
            the untrained network stands beside it, and the raw input.
        label: field that is predicted.

    Returns:
        A protocol with one outcome for k = 1 and, unless k is 1, one for k. The
        accuracy among the first five is None unless k is 5 or more and there are more
        than 5 classes.

    Raises:
        ValueError: if `k` is below 1 or `temperature` is not positive.

    Note:
        Weights are exp((s - largest s) / temperature), the same vote without overflow
        at low temperatures. A label that none of the k neighbours has is not among the
        top 5, even where fewer than 5 classes have votes.
    """
    checks.at_least(1, k=k)
    checks.within("(0, inf]", temperature=temperature)
    # Results name what is read where it is not what all protocols read.
    read = {} if reads == "pooled" else {"reads": reads}
    after = "" if reads == "pooled" else " of the head"

    def run(train: Part, test: Part) -> Iterator[Outcome]:
        classes, known, asked = classes_of(train, test, label)
        used = min(k, int(train.counts.sum()))
        right, voting = np.zeros(3, np.int64), (known, jnp.float32(temperature))
        for numbers, scores, rows in neighbours(train, test, used):
            found = scores, rows, on_mesh(asked[numbers])
            right += np.asarray(_count_right(found, voting, len(classes)))
        first, fifth, nearest_alone = (float(n) / test.counts.sum() for n in right)
        remark = f"{used}-NN: cosine, votes exp(s / {temperature:g})"
        detail: dict[str, Any] = {"num_classes": len(classes)}
        if used < k:
            note = f"k = {k} is more than the {used} training examples; all voted."
            detail["note"] = note
        yield Outcome(
            title=f"1-NN{after}",
            settings={"k": 1, **read},
            values={"accuracy": nearest_alone, "accuracy_top5": None},
        )
        if used > 1:
            several = used >= 5 and len(classes) > 5
            yield Outcome(
                title=f"{used}-NN{after}",
                settings={"k": used, "temperature": temperature, **read},
                values={"accuracy": first, "accuracy_top5": fifth if several else None},
                detail=detail,
                remark=remark,
            )

    return Protocol(name="knn", reads=reads, needs=(label,), run=run)


def neighbours(
    train: Part, test: Part, k: int
) -> Iterator[tuple[np.ndarray, Array, Array]]:
    """The k training examples of largest cosine with each test example.

    Yields:
        (numbers [m] of test places, scores [m, k] float32 in falling order, places
        [m, k] int32 in the training part), the last two sharded over the mesh; where
        there are fewer, the score is -inf and the place is `ABSENT`.
    """

    def found(queries: Array) -> Iterator[tuple[Array, Array]]:
        for bank, numbers in train.values.blocks():
            counts = on_mesh(train.counts[numbers])
            yield _nearest(queries, bank, counts, numbers.astype(np.int32), k)

    for queries, asked in test.values.blocks():
        yield asked, *reduce(_merged, found(queries))


def vote(
    scores: Array, labels: Array, *, temperature: float | Array, num_classes: int
) -> Array:
    """Votes of the neighbours of one example for each class.

    Args:
        scores: [k] cosines, the largest first.
        labels: [k] int32 of the neighbours, in [0, num_classes).
        temperature: positive.
        num_classes: C.

    Returns:
        [C] float32, sums of exp((s - largest s) / temperature).
    """
    weights = jnp.exp((scores - scores[0]) / temperature)
    return jnp.zeros(num_classes, jnp.float32).at[labels].add(weights)


@partial(together, static_argnums=(4,))
def _nearest(
    queries: Array, bank: Array, counts: Array, numbers: Array, k: int
) -> tuple[Array, Array]:
    """`nearest` by cosine; the rows of the bank have these numbers [N]."""
    scores, rows = nearest(l2_normalize(queries), l2_normalize(bank), k, counts)
    there = rows != ABSENT
    return scores, jnp.where(there, numbers[jnp.where(there, rows, 0)], ABSENT)


_merged = together(merged)


@partial(together, static_argnums=(2,))
def _count_right(
    found: tuple[Array, Array, Array], voting: tuple[Array, Array], num_classes: int
) -> Array:
    """[3] int32: right in the first place, in the first five, by the nearest alone.

    Args:
        found: scores and places [m, k] of the neighbours, and the right labels [m]: -1
            for rows without an example, which are never right.
        voting: labels by place, and the temperature [].
        num_classes: C.
    """

    def mine(rows: tuple[Array, Array, Array], whole: tuple[Array, Array]) -> Array:
        known, temperature = whole

        def one(row: tuple[Array, Array, Array]) -> Array:
            scores, places, label = row
            there = places != ABSENT
            neighbours = known[jnp.where(there, places, 0)]
            votes = vote(
                scores, neighbours, temperature=temperature, num_classes=num_classes
            )
            own = votes[label]
            lower = jnp.arange(num_classes) < label
            before = jnp.sum((votes > own) | ((votes == own) & lower))
            same = (neighbours == label) & there
            first, fifth = same.any() & (before == 0), same.any() & (before < 5)
            return jnp.stack([first, fifth, same[0]]) & (label >= 0)

        return jax.lax.map(one, rows, batch_size=QUERIES)

    return map_shards(mine, found, voting).sum(axis=0, dtype=jnp.int32)
