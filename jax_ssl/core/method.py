"""The contract of a method: a frozen value made of pure functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from jax_ssl.core.types import (
    Array,
    Batch,
    Example,
    Metrics,
    Params,
    State,
    Variables,
    Views,
)


class ViewFn(Protocol):
    """Makes the views of one example.

    The train step vmaps it inside a `shard_map`, so it can neither see nor wait for
    other rows, and its pixels do not depend on the number of devices.
    """

    def __call__(self, key: Array, example: Example) -> Views:
        """Returns the views of `example`, drawn with `key`."""


class InitFn(Protocol):
    """Makes a method's first params and state; must trace under `jax.eval_shape`."""

    def __call__(self, key: Array, views: Views) -> tuple[Params, State]:
        """Returns params and state for `views` of the run's shapes."""


class LossFn(Protocol):
    """The training objective, a scalar mean over the GLOBAL batch."""

    def __call__(
        self, params: Params, state: State, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[State, Metrics]]:
        """Returns the loss and (next state, metrics); differentiated in params only."""


class UpdateFn(Protocol):
    """What moves after every optimizer step: teachers, projected parameters."""

    def __call__(
        self, params: Params, state: State, *, step: Array
    ) -> tuple[Params, State]:
        """Returns params and state, given the NEW params and the completed step."""


class ExportFn(Protocol):
    """Picks the variables that evaluation keeps."""

    def __call__(self, params: Params, state: State) -> Variables:
        """Returns linen variables for `Method.encoder`."""


class ProjectFn(Protocol):
    """What the loss compares, without what is only there for training."""

    def __call__(self, params: Params, state: State, images: Array) -> Array:
        """Returns embeddings [B, D] of images [B, H, W, C], in evaluation mode."""


class ChanceFn(Protocol):
    """What the loss is worth to a network that tells nothing apart."""

    def __call__(self, batch_size: int) -> float:
        """Returns the loss, such as ln(2 B - 1), at this many images a step."""


def unchanged(params: Params, state: State, *, step: Array) -> tuple[Params, State]:
    """The `update` of a method in which nothing follows the params."""
    del step
    return params, state


@dataclass(frozen=True)
class Refresh:
    """A stage between epochs that reads the whole training set.

    It runs before step s where s is a multiple of `every_epochs` epochs, 0 included.

    Attributes:
        embed: (params, state, batch whose "image" is the evaluation's view, float
            [B, h, w, C]) -> features [B, ...], in evaluation mode.
        fit: (params, state, features [N', ...] in data-set order, key) -> (params,
            state, metrics). Rows are sharded over the mesh; those from the number of
            examples on are padding.
        recall: state -> features [N', ...] that training has left in it. They are read
            in place of `embed` at all steps but 0, which spares a pass over the data.
        resets: parts of the params whose optimizer slots start afresh.
        every_epochs: how often the stage runs.
    """

    embed: Callable[[Params, State, Batch], Array]
    fit: Callable[[Params, State, Array, Array], tuple[Params, State, Metrics]]
    recall: Callable[[State], Array] | None = None
    resets: tuple[str, ...] = ()
    every_epochs: int = 1


@dataclass(frozen=True, kw_only=True)
class Method:
    """A self-supervised method as a value.

    Attributes:
        encoder: linen module that evaluation keeps; `__call__(x, *, train)` returns
            `Features`.
        views: one example -> its views.
        init: first params and state.
        loss: objective, next state and metrics.
        export: params and state -> variables of `encoder`.
        update: what moves after an optimizer step.
        refresh: optional stage between epochs.
        project: images -> embeddings, for the collapse doctor; None if the loss
            compares no embeddings.
        chance: batch size -> loss by chance, likewise; None if there is no such value.
        export_teacher: params and state -> variables of all that a student of another
            run would learn from, encoder and heads; None if nothing can.
    """

    encoder: Any
    views: ViewFn
    init: InitFn
    loss: LossFn
    export: ExportFn
    update: UpdateFn = unchanged
    refresh: Refresh | None = None
    project: ProjectFn | None = None
    chance: ChanceFn | None = None
    export_teacher: ExportFn | None = None
