"""Accuracy with a few labelled images of every class, over repeated draws.

Label-efficient classification on frozen features: the low-shot probes of Assran et al.
(2022, MSN, arXiv:2204.07141), on data sets of any size.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_ssl.core.types import Array
from jax_ssl.evaluate.features import FeatureSet, everywhere, whole
from jax_ssl.evaluate.labels import labels_of
from jax_ssl.ops.neighbors import top_k
from jax_ssl.ops.normalize import l2_normalize

CLASSIFIERS = ("nearest_neighbor", "nearest_class_mean", "logistic")
HIGHEST = jax.lax.Precision.HIGHEST
LOGISTIC_STEPS = 300


def few_label(
    train: FeatureSet,
    test: FeatureSet,
    *,
    labels_per_class: int,
    draws: int = 20,
    classifier: str = "nearest_neighbor",
    weight_decay: float = 1e-3,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean and spread of the test accuracy over draws of the labelled examples.

    Every draw labels `labels_per_class` train examples of each class and classifies all
    of test with these alone. Which rows are drawn depends on the train labels and
    `seed`, not on the features, so that two feature sets of one source are compared on
    the same draws; and a draw of fewer labels is part of the same draw of more.

    All classifiers work on features of unit length. "nearest_neighbor" gives the label
    of the example of largest cosine. "nearest_class_mean" gives the class whose mean
    has the largest cosine. "logistic" is multinomial logistic regression, mean
    cross-entropy plus weight_decay / 2 · ‖kernel‖², by 300 accelerated gradient steps.

    Args:
        train: features with labels; every class in it is drawn from.
        test: features with labels.
        labels_per_class: n, at least 1.
        draws: at least 1.
        classifier: one of the three.
        weight_decay: of "logistic" alone.
        seed: of the draws.

    Returns:
        {"accuracy": mean, "std": over draws with the divisor draws - 1 (None for one
        draw), "accuracies": one for each draw}; fractions.

    Raises:
        ValueError: if labels are missing, a class of train has fewer than n examples,
            or a setting is out of range.

    Note:
        The nearest neighbour is the default because it has nothing to tune and needs no
        scaling, so it favours neither wide nor well-scaled features. `std` is the
        spread of single draws; the error of the mean is smaller by √draws.
    """
    if classifier not in CLASSIFIERS:
        raise ValueError(
            f"few_label.classifier = {classifier!r}; choose one of {CLASSIFIERS}."
        )
    if weight_decay <= 0:
        raise ValueError(f"few_label.weight_decay = {weight_decay} must be positive.")
    num_classes, train_labels, test_labels = labels_of(train, test)
    rows = draw_rows(train_labels, labels_per_class, draws=draws, seed=seed)
    correct = _count_correct(
        everywhere(train.features),
        everywhere(train_labels),
        everywhere(test.features),
        everywhere(test_labels),
        everywhere(rows),
        weight_decay,
        num_classes,
        classifier,
    )
    accuracies = np.asarray(correct, np.float64) / len(test_labels)
    return {
        "accuracy": float(accuracies.mean()),
        "std": float(accuracies.std(ddof=1)) if draws > 1 else None,
        "accuracies": accuracies.tolist(),
    }


def draw_rows(
    labels: np.ndarray, labels_per_class: int, *, draws: int, seed: int
) -> np.ndarray:
    """Rows of the labelled examples of every draw, class after class.

    Args:
        labels: [N] integers.
        labels_per_class: n.
        draws: how many.
        seed: of all draws.

    Returns:
        [draws, classes present · n] int32.

    Raises:
        ValueError: if n or `draws` is below 1 or a class has fewer than n examples.
    """
    for name, value in (("labels_per_class", labels_per_class), ("draws", draws)):
        if value < 1:
            raise ValueError(f"few_label.{name} = {value} must be at least 1.")
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < labels_per_class:
        raise ValueError(
            f"class {classes[np.argmin(counts)]} has {counts.min()} train examples, "
            f"fewer than the {labels_per_class} labels a class asked for."
        )
    members = [np.flatnonzero(labels == label) for label in classes]
    found = []
    for draw in range(draws):
        generator = np.random.default_rng([seed, draw])
        picked = [generator.permutation(rows)[:labels_per_class] for rows in members]
        found.append(np.concatenate(picked))
    return np.stack(found).astype(np.int32)


@partial(jax.jit, static_argnums=(6, 7))
def _count_correct(
    train: Array,
    train_labels: Array,
    test: Array,
    test_labels: Array,
    draws: Array,
    weight_decay: Array,
    num_classes: int,
    classifier: str,
) -> Array:
    """[draws] int32; one draw at a time, so that memory does not grow with them."""
    test = l2_normalize(test)

    def one(rows: Array) -> Array:
        x, y = l2_normalize(train[rows]), train_labels[rows]
        if classifier == "nearest_neighbor":
            predicted = y[top_k(test, x, 1, block=1024)[1][:, 0]]
        else:
            if classifier == "nearest_class_mean":
                kernel, bias = _class_means(x, y, num_classes)
            else:
                kernel, bias = fit_logistic(x, y, weight_decay, num_classes)
            logits = jnp.matmul(test, kernel, precision=HIGHEST) + bias
            predicted = jnp.argmax(logits, axis=1)
        return jnp.sum(predicted == test_labels, dtype=jnp.int32)

    return whole(jax.lax.map(one, draws))


def _class_means(x: Array, y: Array, num_classes: int) -> tuple[Array, Array]:
    """Unit class means [D, C] and a bias [C] that rules out classes without one."""
    sums = jax.ops.segment_sum(x, y, num_classes)
    present = jax.ops.segment_sum(jnp.ones(len(y)), y, num_classes) > 0
    return l2_normalize(sums).T, jnp.where(present, 0.0, -jnp.inf)


def fit_logistic(
    x: Array, y: Array, weight_decay: float | Array, num_classes: int
) -> tuple[Array, Array]:
    """L2-regularised multinomial logistic regression by accelerated gradient descent.

    Minimises mean cross-entropy + weight_decay / 2 · ‖kernel‖² from zero, with the
    constant step and momentum of Nesterov (2004, Introductory Lectures on Convex
    Optimization, section 2.2) for a strongly convex objective.

    Args:
        x: [n, D], rows of at most unit length.
        y: [n] int32.
        weight_decay: positive; the bias is free.
        num_classes: C.

    Returns:
        (kernel [D, C], bias [C]).
    """

    def objective(weights: tuple[Array, Array]) -> Array:
        kernel, bias = weights
        logits = jnp.matmul(x, kernel, precision=HIGHEST) + bias
        value = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return value + weight_decay / 2 * jnp.sum(jnp.square(kernel))

    # The Hessian of the softmax is at most 1/2, that of (x, 1)'s rows at most 2.
    smoothness = 1 + weight_decay
    ratio = jnp.sqrt(weight_decay / smoothness)
    momentum = (1 - ratio) / (1 + ratio)

    def step(_: Array, carry: tuple) -> tuple:
        weights, ahead = carry
        gradient = jax.grad(objective)(ahead)
        moved = jax.tree.map(lambda w, g: w - g / smoothness, ahead, gradient)
        ahead = jax.tree.map(lambda m, w: m + momentum * (m - w), moved, weights)
        return moved, ahead

    zeros = jnp.zeros((x.shape[1], num_classes)), jnp.zeros(num_classes)
    return jax.lax.fori_loop(0, LOGISTIC_STEPS, step, (zeros, zeros))[0]
