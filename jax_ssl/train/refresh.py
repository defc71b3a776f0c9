"""The stage between epochs: a look at the whole training set, and a fit to it.

The features of all examples stay on the mesh, each where it was made: every device
embeds a run of consecutive examples, so that they lie in data-set order without moving.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree, State
from jax_ssl.data.order import steps_per_epoch
from jax_ssl.optim.rules import reset_slots
from jax_ssl.parallel.hosts import meet
from jax_ssl.parallel.mesh import BATCH_AXES, replicated
from jax_ssl.parallel.rows import map_examples
from jax_ssl.train.feeds import Feed
from jax_ssl.train.program import Program, check_closed

# Examples that a device embeds at a time, at most; never more than in a step.
AT_ONCE = 128
# Batches dispatched ahead of the devices.
IN_FLIGHT = 4
# Folded into the run's key, as steps are; no step has this number.
STAGE = 2**32 - 1


class Refresher:
    """Runs a method's `refresh`, a pure function of the train state and the data.

    Call it with the run's mesh installed.

    Attributes:
        every_steps: it is due before each multiple of this, 0 included.
    """

    def __init__(
        self,
        method: Method,
        tx: optax.GradientTransformation,
        feed: Feed,
        mesh: Mesh,
        made: Program,
        view: ViewFn | None,
    ) -> None:
        """Prepares the stage; nothing is compiled yet.

        Raises:
            ValueError: if the method has no refresh, the view is missing or makes no
                single image, or the stage changes the shapes of the train state.
        """
        refresh = method.refresh
        if refresh is None or view is None:
            raise ValueError(
                "a stage between epochs needs a method with a refresh, and a view that "
                "makes one image of an example (`view`, config.evals.view)."
            )
        epoch = steps_per_epoch(feed.batch_size, feed.num_examples)
        self.every_steps = refresh.every_epochs * epoch
        self._recalls = refresh.recall is not None
        self._feed = feed
        self._rows = rows_by_device(feed.num_examples, mesh.size, feed.batch_size)
        steps, size = self._rows.shape

        def embed(params: Params, state: State, batch: Batch) -> Array:
            images = map_examples(view, jax.random.key(0), batch)
            if not isinstance(images, jax.Array) or images.ndim != 4:
                shapes = jax.tree.map(lambda leaf: leaf.shape[1:], images)
                raise ValueError(
                    f"the refresh's view made {shapes} of an example; it must make one "
                    "float image [h, w, C]: use center_crop or identity."
                )
            features = refresh.embed(params, state, {**batch, "image": images})
            return features.astype(jnp.float32)

        def keep(
            found: Array, at: Array, train: TrainState, data: PyTree, piece: PyTree
        ) -> tuple[Array, Array]:
            one = embed(train.params, train.state, feed.batch(data, piece))
            return lax.dynamic_update_index_in_dim(found, one, at, 0), at + 1

        def fit(train: TrainState, features: Array) -> tuple[TrainState, Metrics]:
            if len(features) % mesh.size == 0:
                features = lax.with_sharding_constraint(features, P(BATCH_AXES))
            key = jax.random.fold_in(jax.random.fold_in(train.key, STAGE), train.step)
            params, state, metrics = refresh.fit(
                train.params, train.state, features, key
            )
            slots = reset_slots(tx, train.opt_state, params, refresh.resets)
            return train.replace(params=params, state=state, opt_state=slots), metrics

        def fit_found(train: TrainState, found: Array) -> tuple[TrainState, Metrics]:
            # [steps, devices x b, ...] to [devices x steps x b, ...]: nothing moves.
            cut = found.reshape(steps, mesh.size, -1, *found.shape[2:])
            return fit(train, cut.swapaxes(0, 1).reshape(-1, *found.shape[2:]))

        def fit_recalled(train: TrainState) -> tuple[TrainState, Metrics]:
            assert refresh.recall is not None
            return fit(train, refresh.recall(train.state))

        with jax.set_mesh(mesh):
            train = made.abstract
            batch = {
                name: jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype)
                for name, leaf in feed.spec.items()
            }
            one = jax.eval_shape(embed, train.params, train.state, batch)
            found = jax.ShapeDtypeStruct((steps, *one.shape), one.dtype)
            # What cannot work is found here, before the first epoch's compilation.
            check_closed(train, jax.eval_shape(fit_found, train, found)[0])
            if self._recalls:
                check_closed(train, jax.eval_shape(fit_recalled, train)[0])

        whole = replicated(mesh)
        kept = (NamedSharding(mesh, P(None, BATCH_AXES)), whole)
        fitted = (jax.tree.map(lambda leaf: leaf.sharding, made.abstract), whole)

        def start() -> tuple[Array, Array]:
            return jnp.zeros(found.shape, found.dtype), jnp.zeros((), jnp.int32)

        self._start = jax.jit(start, out_shardings=kept)
        self._keep = _together(jax.jit(keep, donate_argnums=0, out_shardings=kept))
        self._fit_found, self._fit_recalled = (
            _together(jax.jit(fn, donate_argnums=0, out_shardings=fitted))
            for fn in (fit_found, fit_recalled)
        )

    def __call__(self, train: TrainState) -> tuple[TrainState, dict[str, float]]:
        """The state after the stage, and its numbers for the log; donates `train`.

        Raises:
            TooManyCorrupt: if too few of the examples can be read.
        """
        begun = time.perf_counter()
        if self._recalls and int(train.step) > 0:
            train, metrics = self._fit_recalled(train)
        else:
            train, metrics = self._fit_found(train, self._embed_all(train))
        numbers = {name: float(x) for name, x in jax.device_get(metrics).items()}
        return train, {**numbers, "refresh_seconds": time.perf_counter() - begun}

    def _embed_all(self, train: TrainState) -> Array:
        """Features [steps, B, ...] of the examples `rows_by_device`."""
        found, at = self._start()
        train = train.replace(opt_state=None)  # Not read, so not sent along.
        flying: deque[Array] = deque()
        with self._feed.sweep(self._rows) as pieces:
            for piece in pieces:
                found, at = self._keep(found, at, train, self._feed.data, piece)
                flying.append(at)
                if len(flying) > IN_FLIGHT:
                    flying.popleft().block_until_ready()
        return found


def rows_by_device(num_examples: int, devices: int, batch_size: int) -> np.ndarray:
    """Examples of every batch of a pass in which each device has consecutive ones.

    Device d has n of them, from d n on: b in each of the batches, the columns d b to
    (d + 1) b - 1.

    Args:
        num_examples: N.
        devices: of the mesh.
        batch_size: of a step.

    Returns:
        [batches, devices x b] int64, b at most `AT_ONCE` and a step's share of a
        device. The last of the devices x n examples may be fillers, copies of N - 1.
    """
    each = -(-num_examples // devices)
    batches = -(-each // min(AT_ONCE, batch_size // devices))
    b = -(-each // batches)
    by_device = np.arange(devices * batches * b).reshape(devices, batches, b)
    rows = by_device.swapaxes(0, 1).reshape(batches, devices * b)
    return np.minimum(rows, num_examples - 1)


def _together(fn: Any) -> Callable[..., Any]:
    """The jitted `fn`, compiled by all processes before any of them runs it."""
    compiled: list[Any] = []

    def call(*args: PyTree) -> Any:
        if not compiled:
            compiled.append(fn.lower(*args).compile())
            meet()
        return compiled[0](*args)

    return call
