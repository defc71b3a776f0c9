"""The stage between epochs: a look at the whole training set, and a fit to it."""

import time

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

from jax_ssl.core.method import ViewFn, encoder_input
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Batch, Metrics, PyTree
from jax_ssl.data.order import steps_per_epoch
from jax_ssl.optim.rules import reset_slots
from jax_ssl.parallel.mesh import BATCH_AXES, replicated
from jax_ssl.parallel.rows import map_examples
from jax_ssl.parallel.together import together
from jax_ssl.train.program import Program, check_closed
from jax_ssl.train.sweep import Sweep

# Folded into the run's key, as steps are; no step has this number.
STAGE = 2**32 - 1


class Refresher:
    """Runs a method's `refresh`, a pure function of the train state and the data.

    Call it with the run's mesh installed.

    Attributes:
        every_steps: it is due before each multiple of this, 0 included; 0 where it is
            due before the first step alone.
    """

    def __init__(self, made: Program, view: ViewFn | None) -> None:
        """Prepares the stage; nothing is compiled yet.

        Raises:
            ValueError: if the method has no refresh, the view is missing, or the stage
                changes the shapes of the train state.
        """
        refresh, feed, mesh = made.method.refresh, made.feed, made.mesh
        if refresh is None or view is None:
            raise ValueError(
                "a stage between epochs needs a method with a refresh, and a view that "
                "shows the encoder an example as it is (`view`, config.evals.view)."
            )
        epoch = steps_per_epoch(feed.batch_size, feed.num_examples, feed.share)
        self.every_steps = (refresh.every_epochs or 0) * epoch
        self._recalls = refresh.recall is not None

        def embed(train: TrainState, batch: Batch) -> Array:
            seen = encoder_input(map_examples(view, jax.random.key(0), batch))
            features = refresh.embed(train.params, train.state, {**batch, "view": seen})
            return features.astype(jnp.float32)

        def fit(train: TrainState, features: PyTree) -> tuple[TrainState, Metrics]:
            if features is None and refresh.recall is not None:
                features = refresh.recall(train.state)
            if len(features) % mesh.size == 0:
                features = lax.with_sharding_constraint(features, P(BATCH_AXES))
            key = jax.random.fold_in(jax.random.fold_in(train.key, STAGE), train.step)
            params, state, metrics = refresh.fit(
                train.params, train.state, features, key
            )
            slots = reset_slots(made.tx, train.opt_state, params, refresh.resets)
            return train.replace(params=params, state=state, opt_state=slots), metrics

        abstract = made.abstract
        share = feed.batch_size // mesh.size
        self._sweep = Sweep(
            embed, abstract.replace(opt_state=None), feed, mesh, at_once=share
        )
        with jax.set_mesh(mesh):
            # What cannot work is found here, before the first epoch's compilation.
            check_closed(abstract, jax.eval_shape(fit, abstract, self._sweep.shapes)[0])
            if self._recalls:
                check_closed(abstract, jax.eval_shape(fit, abstract, None)[0])
        fitted = jax.tree.map(lambda leaf: leaf.sharding, abstract), replicated(mesh)
        self._fit = together(fit, donate_argnums=0, out_shardings=fitted)

    def due(self, step: int) -> bool:
        """Whether it runs before this step."""
        return step == 0 or (self.every_steps > 0 and step % self.every_steps == 0)

    def __call__(self, train: TrainState) -> tuple[TrainState, dict[str, float]]:
        """The state after the stage, and its numbers for the log; donates `train`.

        Raises:
            TooManyCorrupt: if too few of the examples can be read.
        """
        begun = time.perf_counter()
        found = None
        if int(train.step) == 0 or not self._recalls:
            # The optimizer's slots are not read, so they are not sent along.
            found = self._sweep(train.replace(opt_state=None))
        train, metrics = self._fit(train, found)
        numbers = {name: float(x) for name, x in jax.device_get(metrics).items()}
        return train, {**numbers, "refresh_seconds": time.perf_counter() - begun}
