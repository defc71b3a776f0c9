"""The k-nearest-neighbour classifier with a weighted vote.

Wu et al., 2018, "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination", arXiv:1805.01978, section 3.4; settings of Caron et al., 2021 (DINO),
arXiv:2104.14294. Nothing is trained, so its answer depends on no optimiser.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.evaluate.features import FeatureSet, everywhere, whole
from jax_ssl.evaluate.labels import labels_of
from jax_ssl.ops.neighbors import top_k
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.rows import map_examples, shard_count


def knn(
    train: FeatureSet,
    test: FeatureSet,
    *,
    k: int = 200,
    temperature: float = 0.1,
    query_block: int = 1024,
) -> dict[str, Any]:
    """Accuracy of the weighted k-NN classifier of `train` on `test`.

    The similarity s is the cosine. Each of the k nearest train examples adds
    exp(s / temperature) to its class, and the class with the largest sum is predicted,
    the lowest label among equals. Exact: every test example is compared with every
    train example. The test rows are shared by the devices of the ambient mesh.

    Args:
        train: the bank, with labels.
        test: the queries, with labels.
        k: neighbours that vote; a larger number than there are train examples is
            replaced by that number, and the result says so under "note".
        temperature: positive; infinity weighs all k neighbours alike. Published values:
            0.07 on ImageNet, 0.1 on CIFAR-10.
        query_block: test rows at once; changes nothing but memory.

    Returns:
        {"accuracy", "accuracy_top5" (None unless k >= 5 and there are more than 5
        classes), "accuracy_nearest" (1-NN), "k", "temperature", "num_classes"}, and
        "note" if k was reduced. Accuracies are fractions.

    Raises:
        ValueError: if labels are missing, `k` is below 1 or `temperature` is not
            positive.

    Note:
        Weights are exp((s - largest s) / temperature), the same vote without overflow
        at low temperatures. A label that none of the k neighbours has is not among the
        top 5, even where fewer than 5 classes have votes.
    """
    if k < 1:
        raise ValueError(f"knn.k = {k} must be at least 1.")
    if not temperature > 0:
        raise ValueError(
            f"knn.temperature = {temperature} must be positive; use k = 1 for the "
            "nearest neighbour alone."
        )
    num_classes, train_labels, test_labels = labels_of(train, test)
    used = min(k, len(train.features))
    correct = np.zeros(3, np.int64)
    size = -(-min(query_block, len(test.features)) // shard_count()) * shard_count()
    bank, bank_labels = (
        l2_normalize(everywhere(train.features)),
        everywhere(train_labels),
    )
    for start in range(0, len(test.features), size):
        queries, labels = (
            x[start : start + size] for x in (test.features, test_labels)
        )
        missing = size - len(queries)
        queries = np.pad(queries, ((0, missing), (0, 0)))
        # No neighbour has the label -1, so that fillers are never right.
        labels = np.pad(labels, (0, missing), constant_values=-1)
        correct += np.asarray(
            _count_correct(
                bank, bank_labels, queries, labels, temperature, used, num_classes
            )
        )
    first, fifth, nearest = (float(n) / len(test.features) for n in correct)
    result: dict[str, Any] = {
        "accuracy": first,
        "accuracy_top5": fifth if used >= 5 and num_classes > 5 else None,
        "accuracy_nearest": nearest,
        "k": used,
        "temperature": temperature,
        "num_classes": num_classes,
    }
    if used < k:
        result["note"] = f"k = {k} is more than the {used} train examples; all voted."
    return result


def vote(
    scores: Array, labels: Array, *, temperature: float | Array, num_classes: int
) -> Array:
    """Votes of the neighbours for each class.

    Args:
        scores: [..., k] cosines, the largest first.
        labels: [..., k] int32 of the neighbours, in [0, num_classes).
        temperature: positive.
        num_classes: C.

    Returns:
        [..., C] float32, sums of exp((s - largest s) / temperature).
    """
    weights = jnp.exp((scores - scores[..., :1]) / temperature)
    flat = weights.reshape(-1, weights.shape[-1])
    queries = jnp.arange(flat.shape[0])[:, None]
    votes = jnp.zeros((flat.shape[0], num_classes), jnp.float32)
    votes = votes.at[queries, labels.reshape(flat.shape)].add(flat)
    return votes.reshape(*scores.shape[:-1], num_classes)


@partial(jax.jit, static_argnums=(5, 6))
def _count_correct(
    bank: Array,
    bank_labels: Array,
    queries: Array,
    labels: Array,
    temperature: Array,
    k: int,
    num_classes: int,
) -> Array:
    """[3] int32: right in the first place, in the first five, by the nearest alone."""

    def one(key: Array, example: Mapping[str, Array]) -> Array:
        del key
        label = example["label"]
        scores, rows = top_k(l2_normalize(example["query"])[None], bank, k)
        neighbours = jnp.take(bank_labels, rows[0], axis=0)
        votes = vote(
            scores[0], neighbours, temperature=temperature, num_classes=num_classes
        )
        mine = votes[label]
        lower = jnp.arange(num_classes) < label
        before = jnp.sum((votes > mine) | ((votes == mine) & lower))
        present = jnp.any(neighbours == label)
        return jnp.stack(
            [
                present & (before == 0),
                present & (before < 5),
                neighbours[0] == label,
            ]
        )

    right = map_examples(one, jax.random.key(0), {"query": queries, "label": labels})
    return whole(right.sum(axis=0, dtype=jnp.int32))
