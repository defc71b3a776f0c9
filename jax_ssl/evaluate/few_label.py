"""Accuracy with a few labelled images of every class, over repeated draws.

Label-efficient classification on frozen features: the low-shot probes of Assran et al.
(2022, MSN, arXiv:2204.07141), on data sets of any size.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_ssl.core import checks
from jax_ssl.core.precise import matmul
from jax_ssl.core.types import Array, PyTree
from jax_ssl.evaluate.part import Part, on_mesh
from jax_ssl.evaluate.protocol import (
    Metric,
    Outcome,
    Protocol,
    Skipped,
    classes_of,
)
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.neighbors import top_k
from jax_ssl.parallel.rows import map_shards
from jax_ssl.parallel.together import together

TOLERANCE = 1e-5  # Of the gradient's norm in logistic regression.
MOST_STEPS = 2000


def few_label(
    *,
    labels_per_class: tuple[int, ...] | int = (1, 5, 10),
    draws: int = 20,
    classifier: Literal[
        "nearest_neighbor", "nearest_class_mean", "logistic"
    ] = "nearest_neighbor",
    weight_decay: float = 1e-3,
    seed: int = 0,
    label: str = "label",
) -> Protocol:
    """Mean and spread of the test accuracy over draws of the labelled examples.

    Every draw labels n training examples of each class and classifies all of test with
    these alone. Which rows are drawn depends on the labels and `seed`, not on the
    features, so that all kinds of features are compared on the same draws; and a draw
    of fewer labels is part of the same draw of more.

    All classifiers work on features of unit length. "nearest_neighbor" gives the label
    of the example of largest cosine. "nearest_class_mean" gives the class whose mean
    has the largest cosine. "logistic" is multinomial logistic regression, mean
    cross-entropy plus weight_decay / 2 · ‖kernel‖², by L-BFGS.

    Args:
        labels_per_class: n, at least 1, or several, each with an outcome of its own.
        draws: at least 1.
        classifier: one of the three.
        weight_decay: of "logistic" alone.
        seed: of the draws.
        label: field that is predicted.

    Returns:
        A protocol whose spread is the standard deviation over draws with the divisor
        draws - 1, None for one draw. A number that some class has too few training
        examples for is skipped.

    Raises:
        ValueError: if a setting is out of range, or no number of labels is given.

    Note:
        The nearest neighbour is the default because it has nothing to tune and needs no
        scaling, so it favours neither wide nor well-scaled features. The spread is that
        of single draws; the error of the mean is smaller by √draws.
    """
    several = labels_per_class
    several = (several,) if isinstance(several, int) else tuple(several)
    checks.not_empty(labels_per_class=several)
    checks.at_least(1, labels_per_class=several, draws=draws)
    checks.positive(weight_decay=weight_decay)

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        classes, known, asked = classes_of(train, test, label)
        present, counts = np.unique(known[known >= 0], return_counts=True)
        least = f"class {classes[present[counts.argmin()]]} has {counts.min()}"
        for n in several:
            if counts.min() < n:
                reason = f"{least} training examples, fewer than {n} labels a class"
                yield Skipped(reason)
                continue
            rows = draw_rows(known, n, draws=draws, seed=seed)
            x = train.values.take(rows.ravel())
            x = x.reshape(draws, -1, x.shape[-1])
            drawn = x, known[rows], jnp.float32(weight_decay)
            right, lost = np.zeros(draws, np.int64), 0
            for values, numbers in test.values.blocks():
                some, converged = _count_right(
                    drawn, (values, on_mesh(asked[numbers])), len(classes), classifier
                )
                right += np.asarray(some)
                lost = int((~np.asarray(converged)).sum())
            detail: dict[str, Any] = {}
            if lost:
                detail["note"] = (
                    f"{lost} of {draws} fits did not reach a gradient of {TOLERANCE:g} "
                    f"in {MOST_STEPS} steps"
                )
            accuracies = right / test.counts.sum()
            settings: dict[str, Any] = {
                "labels_per_class": n,
                "draws": draws,
                "classifier": classifier,
                "seed": seed,
            }
            if classifier == "logistic":
                settings["weight_decay"] = weight_decay
            yield Outcome(
                title=f"{n} label{'' if n == 1 else 's'}",
                settings=settings,
                values={"accuracy": float(accuracies.mean())},
                spread=float(accuracies.std(ddof=1)) if draws > 1 else None,
                detail={"accuracies": accuracies.tolist(), **detail},
                remark=(
                    "N labels: N of each class are known; "
                    f"{classifier.replace('_', ' ')}, mean ± standard deviation over "
                    f"{draws} draws"
                ),
            )

    metrics = (Metric("accuracy"),)
    return Protocol(
        name="few_label",
        needs=(label,),
        metrics=metrics,
        run=run,
        per_class=max(several),
    )


def draw_rows(
    labels: np.ndarray, labels_per_class: int, *, draws: int, seed: int
) -> np.ndarray:
    """Rows of the labelled examples of every draw, class after class.

    Args:
        labels: [N] integers, negative where an example does not count.
        labels_per_class: n, at most the examples of each class.
        draws: how many.
        seed: of all draws.

    Returns:
        [draws, classes present · n] int32.
    """
    classes = np.unique(labels[labels >= 0])
    members = [np.flatnonzero(labels == label) for label in classes]
    found = []
    for draw in range(draws):
        generator = np.random.default_rng([seed, draw])
        picked = [generator.permutation(rows)[:labels_per_class] for rows in members]
        found.append(np.concatenate(picked))
    return np.stack(found).astype(np.int32)


@partial(together, static_argnums=(2, 3))
def _count_right(
    drawn: PyTree, asked: tuple[Array, Array], num_classes: int, classifier: str
) -> tuple[Array, Array]:
    """Right answers [draws] int32; whether the fit of every draw converged [draws].

    Args:
        drawn: labelled examples [draws, n, D], their labels [draws, n] int32, and the
            weight decay [] of "logistic".
        asked: test examples [m, D] and their labels [m] int32, -1 where there is no
            example; rows sharded over the mesh.
        num_classes: C.
        classifier: one of the three.
    """
    x, y, weight_decay = drawn
    x = l2_normalize(x)
    fit = partial(fit_logistic, weight_decay=weight_decay, num_classes=num_classes)
    if classifier == "nearest_class_mean":
        fit = partial(_class_means, num_classes=num_classes)
    heads: PyTree = ()
    if classifier != "nearest_neighbor":
        heads = jax.lax.map(lambda draw: fit(*draw), (x, y))

    def mine(rows: tuple[Array, Array], drawn: tuple[PyTree, Array, PyTree]) -> Array:
        test, labels = l2_normalize(rows[0]), rows[1]

        def one(draw: tuple[Array, Array, PyTree]) -> Array:
            x, y, head = draw
            if head:
                kernel, bias, _ = head
                logits = matmul(test, kernel) + bias
                predicted = jnp.argmax(logits, axis=1)
            else:
                predicted = y[top_k(test, x, 1, block=1024)[1][:, 0]]
            return (predicted == labels) & (labels >= 0)

        return jax.lax.map(one, drawn).T  # [m, draws]

    right = map_shards(mine, asked, (x, y, heads))
    converged = heads[2] if heads else jnp.ones(len(x), bool)
    return right.sum(axis=0, dtype=jnp.int32), converged


def _class_means(x: Array, y: Array, *, num_classes: int) -> tuple[Array, Array, Array]:
    """Unit class means [D, C], a bias [C] that rules out classes without one; True."""
    sums = jax.ops.segment_sum(x, y, num_classes)
    present = jax.ops.segment_sum(jnp.ones(len(y)), y, num_classes) > 0
    return l2_normalize(sums).T, jnp.where(present, 0.0, -jnp.inf), jnp.array(True)


def fit_logistic(
    x: Array, y: Array, *, weight_decay: float | Array, num_classes: int
) -> tuple[Array, Array, Array]:
    """L2-regularised multinomial logistic regression by L-BFGS, from zero.

    Minimises mean cross-entropy + weight_decay / 2 · ‖kernel‖² until the norm of its
    gradient is at most `TOLERANCE`, which is ε² / (2 weight_decay) from the optimum.

    Args:
        x: [n, D], rows of at most unit length.
        y: [n] int32.
        weight_decay: positive; the bias is free.
        num_classes: C.

    Returns:
        (kernel [D, C], bias [C], whether the tolerance was reached in `MOST_STEPS`).
    """

    def objective(weights: tuple[Array, Array]) -> Array:
        kernel, bias = weights
        logits = matmul(x, kernel) + bias
        value = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return value + weight_decay / 2 * jnp.sum(jnp.square(kernel))

    solver = optax.lbfgs()
    evaluate = optax.value_and_grad_from_state(objective)

    def step(carry: tuple) -> tuple:
        weights, slots, count, _ = carry
        value, gradient = evaluate(weights, state=slots)
        updates, slots = solver.update(
            gradient, slots, weights, value=value, grad=gradient, value_fn=objective
        )
        norm = optax.global_norm(gradient)
        return optax.apply_updates(weights, updates), slots, count + 1, norm

    def unfinished(carry: tuple) -> Array:
        *_, count, norm = carry
        return (norm > TOLERANCE) & (count < MOST_STEPS)

    zeros = jnp.zeros((x.shape[1], num_classes)), jnp.zeros(num_classes)
    start = zeros, solver.init(zeros), 0, jnp.inf
    weights, _, _, norm = jax.lax.while_loop(unfinished, step, start)
    kernel, bias = weights
    return kernel, bias, jnp.asarray(norm <= TOLERANCE)
