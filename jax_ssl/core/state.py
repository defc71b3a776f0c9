"""The state of a training run: arrays, and nothing that is not an array."""

import flax.struct
import optax

from jax_ssl.core.types import Array, Params, State


class TrainState(flax.struct.PyTreeNode):
    """Everything that a checkpoint holds.

    Attributes:
        step: [] int32, completed optimizer steps.
        params: what the optimizer moves.
        opt_state: the optimizer's slots.
        state: the method's own state (statistics, teacher, queue, centre, ...).
        key: [] the run's typed PRNG key; folded with `step`, never split and stored.
    """

    step: Array
    params: Params
    opt_state: optax.OptState
    state: State
    key: Array
