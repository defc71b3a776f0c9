"""Linear classifiers trained side by side on features that stay where they are."""

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, PyTree
from jax_ssl.evaluate.part import OnMesh, Part, on_mesh
from jax_ssl.parallel.mesh import BATCH_AXES
from jax_ssl.parallel.rows import shard_count, take_rows
from jax_ssl.parallel.together import together

ROWS_AT_ONCE = 4096
STEPS_AT_ONCE = 32  # Whose rows come from the host together.
MOMENTUM = optax.trace(0.9, nesterov=True)

Weights: TypeAlias = tuple[Array, Array]  # kernel [H, D, C], bias [H, C]


class Heads(NamedTuple):
    """H linear classifiers of one set of features.

    Attributes:
        weights: (kernel [H, D, C], bias [H, C]).
        shift: [D], subtracted from the features.
        scale: [D], multiplies what is left.
    """

    weights: Any
    shift: Array
    scale: Array


def fit_heads(
    part: Part,
    labels: np.ndarray,
    rows: np.ndarray,
    learning_rates: np.ndarray,
    weight_decays: np.ndarray,
    *,
    key: Array,
    num_classes: int,
    epochs: int,
    batch_size: int,
    scaling: str,
) -> tuple[Heads, np.ndarray]:
    """Trains H heads on the same batches, by SGD with Nesterov momentum 0.9 from zero.

    Of the features, only the rows of a batch cross the wires, and heads are shared by
    the devices where their number allows. Memory of a device beside its features: about
    5 H·D·C / devices and batch_size·(D + H·C / devices) float32.

    Args:
        part: features [n', D].
        labels: [n'] int32.
        rows: [n] places that the heads are trained on.
        learning_rates: [H], at the start of a cosine to zero.
        weight_decays: [H], of ½‖kernel‖²; the bias is free.
        key: of the order of rows.
        num_classes: C.
        epochs: passes over the rows.
        batch_size: at most n is used.
        scaling: "standardize" or "none".

    Returns:
        (heads, losses [steps, H]), each step's mean cross-entropy of its batch, before
        the step and without the decay.
    """
    size = min(batch_size, len(rows))
    steps = len(rows) // size
    kept = part.values
    resident = isinstance(kept, OnMesh)
    heads = _scaling(part, rows, scaling)
    each = jnp.asarray(learning_rates), jnp.asarray(weight_decays)
    carry = _start(len(learning_rates), part.values.shape[-1], num_classes)
    losses = []
    for epoch in range(epochs):
        own = jax.random.fold_in(key, epoch)
        order = np.asarray(jax.random.permutation(own, rows.astype(np.int32)))
        order = order[: steps * size].reshape(steps, size)
        for first in range(0, steps, steps if resident else STEPS_AT_ONCE):
            chosen = order[first : first + (steps if resident else STEPS_AT_ONCE)]
            done = (epoch * steps + first + np.arange(len(chosen))) / (epochs * steps)
            share = ((1 + np.cos(np.pi * done)) / 2).astype(np.float32)
            targets = labels[chosen]
            if isinstance(kept, OnMesh):
                features = kept.values
            else:
                features = kept.take(chosen.ravel())
                chosen = np.arange(chosen.size, dtype=np.int32).reshape(chosen.shape)
            carry, some = _steps(
                carry, features, heads, each, (chosen, targets, share), resident
            )
            losses.append(np.asarray(some))
    return heads._replace(weights=carry[0]), np.concatenate(losses)


@partial(together, static_argnums=(0, 1, 2))
def _start(count: int, width: int, num_classes: int) -> PyTree:
    zeros = jnp.zeros((count, width, num_classes)), jnp.zeros((count, num_classes))
    return _split((zeros, MOMENTUM.init(zeros)))


@partial(together, static_argnums=(5,), donate_argnums=(0,))
def _steps(
    carry: PyTree,
    features: Array,
    heads: Heads,
    each: tuple[Array, Array],
    batches: tuple[Array, Array, Array],
    resident: bool,
) -> tuple[PyTree, Array]:
    """Some steps of all heads; (carry, losses [steps, H] before each step).

    Args:
        carry: weights and momentum.
        features: [n', D] over the mesh where resident, else those of the batches.
        heads: of which shift and scale are read.
        each: learning rates and weight decays [H].
        batches: places in `features` [steps, B], labels [steps, B], and the share of
            the learning rate [steps].
        resident: see `features`.
    """
    rates, decays = each

    def step(carry: PyTree, batch: tuple[Array, Array, Array]) -> tuple[PyTree, Array]:
        (weights, slots), (chosen, labels, share) = carry, batch
        x = take_rows(features, chosen) if resident else features[chosen]
        x = (x.astype(jnp.float32) - heads.shift) * heads.scale

        def objective(weights: Weights) -> tuple[Array, Array]:
            logits = _logits(weights, x)  # [H, B, C]
            targets = jnp.broadcast_to(labels, logits.shape[:2])
            rows = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
            losses = rows.mean(1)  # [H]
            decay = decays / 2 * jnp.sum(jnp.square(weights[0]), axis=(1, 2))
            return jnp.sum(losses + decay), losses  # No head reads another's weights.

        gradient, losses = jax.grad(objective, has_aux=True)(weights)
        updates, slots = MOMENTUM.update(gradient, slots)
        weights = jax.tree.map(
            lambda w, u: w - (share * rates).reshape(-1, *(1,) * (w.ndim - 1)) * u,
            weights,
            updates,
        )
        return _split((weights, slots)), losses

    return jax.lax.scan(step, carry, batches)


def _logits(weights: Weights, x: Array) -> Array:
    kernel, bias = weights
    return einsum("bd,hdc->hbc", x, kernel) + bias[:, None]


def _split(tree: PyTree) -> PyTree:
    """Heads over the devices of the ambient mesh, if they can share them equally."""
    shards = shard_count()
    if shards == 1 or len(jax.tree.leaves(tree)[0]) % shards:
        return tree
    return jax.lax.with_sharding_constraint(tree, P(BATCH_AXES))


def _scaling(part: Part, rows: np.ndarray, scaling: str) -> Heads:
    """Heads that have a shift and a scale, and no weights yet."""
    width = part.values.shape[-1]
    mean, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
    if scaling == "standardize":
        chosen = np.zeros(part.values.shape[0], np.float32)
        chosen[rows] = 1 / len(rows)

        def total(mean: np.ndarray, power: int) -> np.ndarray:
            sums = [
                np.asarray(_moment(values, on_mesh(chosen[numbers]), mean, power))
                for values, numbers in part.values.blocks()
            ]
            return np.sum(sums, axis=0)

        mean = total(mean, 1)
        std = np.sqrt(total(mean, 2))
        varies = std > 1e-6 * std.max()
        scale = np.where(varies, 1 / np.where(varies, std, 1), 0).astype(np.float32)
    return Heads((), jnp.asarray(mean), jnp.asarray(scale))


@partial(together, static_argnums=(3,))
def _moment(values: Array, chosen: Array, mean: Array, power: int) -> Array:
    """Sum of chosen (x - mean)^power over the rows, [D]."""
    return jnp.sum(chosen[:, None] * (values - mean) ** power, axis=0)


def score(
    heads: Heads, part: Part, labels: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """What heads are worth on some rows.

    Args:
        heads: H of them.
        part: features [n', D].
        labels: [n'] int32.
        rows: [n] places that are looked at.

    Returns:
        {"accuracy", "top5", "loss"}, [H] float64 each: means over the rows. A head
        whose loss is not finite has accuracy 0 and loss infinity.
    """
    total = np.zeros((3, len(heads.weights[1])))
    size = min(ROWS_AT_ONCE, len(rows))
    for start in range(0, len(rows), size):
        mine = rows[start : start + size]
        # Fillers have the label -1, which nothing counts.
        x = part.values.take(np.pad(mine, (0, size - len(mine))))
        y = np.pad(labels[mine], (0, size - len(mine)), constant_values=-1)
        total += np.asarray(_sums(heads, x, y))
    accuracy, top5, loss = total / len(rows)
    lost = ~np.isfinite(loss)
    return {
        "accuracy": np.where(lost, 0, accuracy),
        "top5": np.where(lost, 0, top5),
        "loss": np.where(lost, np.inf, loss),
    }


@together
def _sums(heads: Heads, x: Array, y: Array) -> Array:
    """[3, H]: sums over the rows of right, right in the first five, and the loss."""
    x = (x.astype(jnp.float32) - heads.shift) * heads.scale
    logits = _logits(heads.weights, x)  # [H, B, C]
    own = jnp.take_along_axis(logits, jnp.maximum(y, 0)[None, :, None], axis=2)
    lower = jnp.arange(logits.shape[2]) < y[:, None]
    before = jnp.sum((logits > own) | ((logits == own) & lower), axis=2)
    losses = jax.nn.logsumexp(logits, axis=2) - own[..., 0]
    sums = jnp.stack([before == 0, before < 5, losses])
    return jnp.sum(jnp.where(y >= 0, sums, 0), axis=2)
