"""Linear classifiers trained side by side on features that stay where they are."""

from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P

from jax_ssl.core.types import Array, PyTree
from jax_ssl.evaluate.features import whole
from jax_ssl.parallel.mesh import BATCH_AXES
from jax_ssl.parallel.rows import shard_count

HIGHEST = jax.lax.Precision.HIGHEST
MOMENTUM = 0.9
ROWS_AT_ONCE = 4096


Weights: TypeAlias = tuple[Array, Array]  # kernel [..., D, C], bias [..., C]
Carry: TypeAlias = tuple[Weights, Weights]  # and their velocity


class Heads(NamedTuple):
    """H linear classifiers of one set of features.

    Attributes:
        kernel: [H, D, C].
        bias: [H, C].
        shift: [D], subtracted from the features.
        scale: [D], multiplies what is left.
    """

    kernel: Array
    bias: Array
    shift: Array
    scale: Array


def fit_heads(
    features: Array,
    labels: Array,
    rows: np.ndarray,
    learning_rates: np.ndarray,
    weight_decays: np.ndarray,
    *,
    key: Array,
    num_classes: int,
    epochs: int,
    batch_size: int,
    scaling: str,
) -> tuple[Heads, Array]:
    """Trains H heads on the same batches, in one compiled program.

    Memory beside the features: about 5 H·D·C and batch_size·H·C float32.

    Args:
        features: [N, D].
        labels: [N] int32.
        rows: [n] of the N that the heads are trained on.
        learning_rates: [H].
        weight_decays: [H].
        key: of the order of rows.
        num_classes: C.
        epochs: passes over the rows.
        batch_size: at most n is used.
        scaling: "standardize" or "none".

    Returns:
        (heads, losses [steps, H]), each step's mean cross-entropy of its batch, before
        the step and without the decay.
    """
    return _fit(
        features,
        labels,
        jnp.asarray(rows),
        jnp.asarray(learning_rates),
        jnp.asarray(weight_decays),
        key,
        num_classes,
        epochs,
        min(batch_size, len(rows)),
        scaling,
    )


@partial(jax.jit, static_argnums=(6, 7, 8, 9))
def _fit(
    features: Array,
    labels: Array,
    rows: Array,
    learning_rates: Array,
    weight_decays: Array,
    key: Array,
    num_classes: int,
    epochs: int,
    batch_size: int,
    scaling: str,
) -> tuple[Heads, Array]:
    count, width = len(learning_rates), features.shape[1]
    shift, scale = _scaling(features, rows, scaling)
    steps = len(rows) // batch_size
    all_heads = jax.vmap(_head_step, (0, 0, 0, 0, None, None))

    def step(carry: Carry, inputs: tuple[Array, Array]) -> tuple[Carry, Array]:
        mine, number = inputs
        x = (features[mine].astype(jnp.float32) - shift) * scale
        rates = learning_rates * (1 + jnp.cos(jnp.pi * number / (epochs * steps))) / 2
        weights, velocity, value = all_heads(
            *carry, rates, weight_decays, x, labels[mine]
        )
        return _split((weights, velocity)), value

    def epoch(carry: Carry, number: Array) -> tuple[Carry, Array]:
        order = jax.random.permutation(jax.random.fold_in(key, number), rows)
        batches = order[: steps * batch_size].reshape(steps, batch_size)
        return jax.lax.scan(step, carry, (batches, number * steps + jnp.arange(steps)))

    zeros = (
        jnp.zeros((count, width, num_classes), jnp.float32),
        jnp.zeros((count, num_classes), jnp.float32),
    )
    (weights, _), losses = jax.lax.scan(epoch, (zeros, zeros), jnp.arange(epochs))
    return Heads(*weights, shift, scale), whole(losses.reshape(-1, count))


def _head_step(
    weights: Weights, velocity: Weights, rate: Array, decay: Array, x: Array, y: Array
) -> tuple[Weights, Weights, Array]:
    """One step of one head: (weights, velocity, cross-entropy before the step)."""

    def objective(weights: Weights) -> tuple[Array, Array]:
        kernel, bias = weights
        logits = jnp.matmul(x, kernel, precision=HIGHEST) + bias
        value = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return value.mean() + decay / 2 * jnp.sum(jnp.square(kernel)), value.mean()

    gradient, value = jax.grad(objective, has_aux=True)(weights)
    velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, gradient)
    weights = jax.tree.map(
        lambda w, v, g: w - rate * (g + MOMENTUM * v), weights, velocity, gradient
    )
    return weights, velocity, value


def _split(tree: PyTree) -> PyTree:
    """Heads over the devices of the ambient mesh, if they can share them equally."""
    shards = shard_count()
    if shards == 1 or len(jax.tree.leaves(tree)[0]) % shards:
        return tree
    return jax.lax.with_sharding_constraint(tree, P(BATCH_AXES))


def _scaling(features: Array, rows: Array, scaling: str) -> tuple[Array, Array]:
    """(shift, scale) [D] each."""
    if scaling == "none":
        return jnp.zeros(features.shape[1]), jnp.ones(features.shape[1])
    # Weights instead of `features[rows]`, which would be a second copy.
    part = jnp.zeros((len(features), 1)).at[rows].set(1 / len(rows))
    mean = jnp.sum(part * features, axis=0)
    std = jnp.sqrt(jnp.sum(part * jnp.square(features - mean), axis=0))
    varies = std > 1e-6 * jnp.max(std)
    return mean, jnp.where(varies, 1 / jnp.where(varies, std, 1), 0)


def score(
    heads: Heads, features: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """What heads are worth on some rows.

    Args:
        heads: H of them.
        features: [N, D].
        labels: [N] int32.
        rows: [n] of the N.

    Returns:
        {"accuracy", "top5", "loss"}, [H] float64 each: means over the rows. A head
        whose loss is not finite has accuracy 0 and loss infinity.
    """
    total = np.zeros((3, len(heads.bias)))
    size = min(ROWS_AT_ONCE, len(rows))
    for start in range(0, len(rows), size):
        mine = rows[start : start + size]
        # Fillers have the label -1, which nothing counts.
        x = np.pad(features[mine], ((0, size - len(mine)), (0, 0)))
        y = np.pad(labels[mine], (0, size - len(mine)), constant_values=-1)
        total += np.asarray(_sums(heads, x, y))
    accuracy, top5, loss = total / len(rows)
    lost = ~np.isfinite(loss)
    return {
        "accuracy": np.where(lost, 0, accuracy),
        "top5": np.where(lost, 0, top5),
        "loss": np.where(lost, np.inf, loss),
    }


@jax.jit
def _sums(heads: Heads, x: Array, y: Array) -> Array:
    """[3, H]: sums over the rows of right, right in the first five, and the loss."""
    x = (x.astype(jnp.float32) - heads.shift) * heads.scale

    def one(kernel: Array, bias: Array) -> Array:
        logits = jnp.matmul(x, kernel, precision=HIGHEST) + bias
        mine = jnp.take_along_axis(logits, y[:, None], axis=1, mode="clip")
        lower = jnp.arange(logits.shape[1]) < y[:, None]
        before = jnp.sum((logits > mine) | ((logits == mine) & lower), axis=1)
        losses = jax.nn.logsumexp(logits, axis=1) - mine[:, 0]
        sums = jnp.stack([before == 0, before < 5, losses], axis=1)
        return jnp.sum(jnp.where(y[:, None] >= 0, sums, 0), axis=0)

    return whole(jax.vmap(one)(heads.kernel, heads.bias).T)
