"""The one train step: views, loss, gradient, update; and the first state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.method import Method
from jax_ssl.core.paths import leaf_names
from jax_ssl.core.state import TrainState
from jax_ssl.core.trees import cast, global_norm
from jax_ssl.core.types import Array, Batch, Example, Metrics, PyTree, Views
from jax_ssl.parallel.chunks import in_chunks
from jax_ssl.parallel.rows import map_examples

# Keys that the step itself puts among a method's metrics.
NONFINITE_LEAF = "nonfinite_leaf"


class _Checked(NamedTuple):
    """What a step looks at for numbers that are not finite, in this order.

    The params come before the loss: an update that overflowed shows as the params of
    the next step.
    """

    views: PyTree  # Of each leaf [B] bool: whether a row's numbers are finite.
    params: PyTree
    state: PyTree
    optimizer: PyTree
    loss: PyTree
    gradient: PyTree


def init(
    method: Method, tx: optax.GradientTransformation, key: Array, batch: Batch
) -> TrainState:
    """First state of a run; traces under `jax.eval_shape`.

    Call it through `jit`: eagerly, a method that returns the same array as params and
    as teacher would make two leaves share one buffer, which donation forbids.

    Args:
        method: the method.
        tx: the optimizer.
        key: [] typed PRNG key of the run.
        batch: a batch of the run's shapes; its values do not matter.
    """
    view_key, init_key, run_key = jax.random.split(key, 3)
    views = map_examples(method.views, view_key, batch)
    params, state = method.init(init_key, views)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=tx.init(params),
        state=state,
        key=run_key,
    )


def train_step(
    method: Method,
    tx: optax.GradientTransformation,
    train: TrainState,
    batch: Batch,
    *,
    chunks: int = 1,
    view_dtype: jax.typing.DTypeLike = jnp.float32,
) -> tuple[TrainState, Metrics]:
    """One optimizer step on the global batch.

    Args:
        method: the method.
        tx: the optimizer.
        train: state before the step.
        batch: {name: [B, ...]}, rows sharded over the mesh.
        chunks: turns in which views are made and networks applied. It bounds memory
            and changes nothing else: the loss sees the whole batch, and state that
            follows the params moves once.
        view_dtype: of floating views between their making and the network. An encoder
            that computes in bfloat16 reads the same numbers from bfloat16 views, which
            take half the memory; a loss that compares pixels wants float32.

    Returns:
        The next state and the method's metrics, with "loss", "grad_norm" and
        "nonfinite_leaf": -1, or where loss or gradient is not finite the place in
        `checked_leaves` of the first leaf that is not.
    """
    view_key, loss_key = jax.random.split(jax.random.fold_in(train.key, train.step))

    def views_of(key: Array, example: Example) -> tuple[Views, PyTree]:
        views = method.views(key, example)
        views = views if view_dtype == jnp.float32 else cast(views, view_dtype)
        # Told here, or a step that goes well would keep the views until its end.
        return views, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), views)

    views, finite = map_examples(views_of, view_key, batch, chunks=chunks)

    def objective(params: PyTree) -> tuple[Array, tuple[PyTree, Metrics]]:
        with in_chunks(chunks):
            return method.loss(
                params, train.state, views, key=loss_key, step=train.step
            )

    grad = jax.value_and_grad(objective, has_aux=True)
    (loss, (state, metrics)), gradients = grad(train.params)
    norm = global_norm(gradients)
    nonfinite = jax.lax.cond(
        jnp.isfinite(loss) & jnp.isfinite(norm),
        lambda *_: jnp.int32(-1),
        _first_not_finite,
        _Checked(finite, train.params, train.state, train.opt_state, loss, gradients),
    )
    gradients = _after(nonfinite, gradients)
    updates, opt_state = tx.update(gradients, train.opt_state, train.params)
    params = optax.apply_updates(train.params, updates)
    step = train.step + 1
    params, state = method.update(params, state, step=step)
    metrics = {**metrics, "loss": loss, "grad_norm": norm, NONFINITE_LEAF: nonfinite}
    train = train.replace(step=step, params=params, opt_state=opt_state, state=state)
    return train, metrics


def checked_leaves(method: Method, train: TrainState, batch: PyTree) -> list[str]:
    """Names that "nonfinite_leaf" counts: what the step read, in the order it was read.

    Args:
        method: the method.
        train: abstract or real state.
        batch: abstract or real batch.
    """
    views = jax.eval_shape(
        lambda key, batch: map_examples(method.views, key, batch), train.key, batch
    )
    loss = jax.ShapeDtypeStruct((), jnp.float32)
    gradients = train.params
    return leaf_names(
        _Checked(views, train.params, train.state, train.opt_state, loss, gradients)
    )


def _first_not_finite(checked: _Checked) -> Array:
    finite = jax.tree.map(lambda leaf: jnp.isfinite(leaf), checked)
    finite = finite._replace(views=checked.views)
    bad = ~jnp.stack([leaf.all() for leaf in jax.tree.leaves(finite)])
    return jnp.where(bad.any(), jnp.argmax(bad), -1).astype(jnp.int32)


def _after(nonfinite: Array, gradients: PyTree) -> PyTree:
    """The gradients, which wait for the look at what the step read.

    A step overwrites params and optimizer state where they lie. Were the look not
    before that, the compiler would copy them all for it. A barrier orders nothing once
    the compiler has dropped it; a number that is never below -1 does.
    """
    never = nonfinite < -1
    return jax.tree.map(lambda leaf: jnp.where(never, jnp.nan, leaf), gradients)
