"""The contract of a method: a frozen value made of pure functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import jax

from jax_ssl.core.fields import Fields, spec_of
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

# Makes the views of one example, drawn with a key. The train step vmaps it inside a
# `shard_map`, so it can neither see nor wait for other rows, and its pixels do not
# depend on the number of devices.
ViewFn: TypeAlias = Callable[[Array, Example], Views]
# A method's first params and state, from a key and views of the run's shapes; it must
# trace under `jax.eval_shape`.
InitFn: TypeAlias = Callable[[Array, Views], tuple[Params, State]]
# Picks variables that outlive the run, such as the encoder's, of params and state:
# linen variables, {"params": ..., "batch_stats": ...}.
ExportFn: TypeAlias = Callable[[Params, State], Variables]
# Params and state with another run's variables in the place of some of theirs.
FillFn: TypeAlias = Callable[[Params, State, Variables], tuple[Params, State]]
# What a method's head says of the encoder's inputs [B, ...], [B, D], in evaluation
# mode.
ProjectFn: TypeAlias = Callable[[Params, State, Array], Array]
# What a task's network says of a batch of the evaluation's view, in evaluation mode.
PredictFn: TypeAlias = Callable[[Params, State, Views], Array]
# What the loss is worth to a network that tells nothing apart, such as ln(2 B - 1), at
# B examples a step.
ChanceFn: TypeAlias = Callable[[int], float]
# Pictures by their title of what a method makes of a few examples, from params, state,
# a batch, and a key of what is drawn. "seen" of the batch is what the evaluation's view
# makes of each example, and "view" what the encoder reads of that.
ShowFn: TypeAlias = Callable[[Params, State, Batch, Array], Mapping[str, "Shown"]]

# What the encoder reads, where a view makes several things; the first that is there.
READ_AS = ("view", "image", "frames", "wave")


def encoder_input(seen: Views) -> Array:
    """What the encoder reads of an example in evaluation.

    Args:
        seen: by the evaluation's view: an array, or a mapping that has it under one of
            `READ_AS`, beside fields that follow the view, such as a mask.

    Raises:
        ValueError: if the mapping has none of them.
    """
    if not isinstance(seen, Mapping):
        return seen
    for name in READ_AS:
        if name in seen:
            return seen[name]
    raise ValueError(
        f"config.evals.view shows the encoder nothing: it makes {sorted(seen)}, and "
        f"none of {', '.join(READ_AS)}."
    )


def read_by_networks(views: Views) -> Views:
    """Views without the frames for losses, where networks read these as "inputs".

    Args:
        views: a mapping that may have, beside "left_frames", "left_inputs".
    """
    if not isinstance(views, Mapping):
        return views
    twins = {name: name.replace("frames", "inputs") for name in views}
    return {n: x for n, x in views.items() if twins[n] == n or twins[n] not in views}


def seen_by(view: ViewFn, fields: Fields) -> Any:
    """Shape and dtype of what the encoder reads of an example, by an evaluation's view.

    Args:
        view: the evaluation's.
        fields: of the examples.
    """
    spec = spec_of(fields)
    return encoder_input(jax.eval_shape(view, jax.random.key(0), spec))


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


def unchanged(params: Params, state: State, *, step: Array) -> tuple[Params, State]:
    """The `update` of a method in which nothing follows the params."""
    del step
    return params, state


@dataclass(frozen=True)
class Refresh:
    """A stage between epochs that reads the whole training set.

    It runs before step s where s is a multiple of `every_epochs` epochs, 0 included, or
    before the first step alone.

    Attributes:
        embed: (params, state, batch whose "view" is the evaluation's view of each
            example, [B, ...]) -> features [B, ...], in evaluation mode.
        fit: (params, state, features [N', ...] in data-set order, key) -> (params,
            state, metrics). Rows are sharded over the mesh; those from the number of
            examples on are padding.
        recall: state -> features [N', ...] that training has left in it. They are read
            in place of `embed` at all steps but 0, which spares a pass over the data.
        resets: parts of the params whose optimizer slots start afresh.
        every_epochs: how often the stage runs; None for once.
    """

    embed: Callable[[Params, State, Batch], Array]
    fit: Callable[[Params, State, Array, Array], tuple[Params, State, Metrics]]
    recall: Callable[[State], Array] | None = None
    resets: tuple[str, ...] = ()
    every_epochs: int | None = 1


@dataclass(frozen=True)
class Load:
    """What `run.init_from` may fill with the file that another run has exported.

    Attributes:
        take: params and state -> the variables that are replaced, for their shapes.
        fill: puts others in their place.
        required: whether there is no run without.
        export: which of another run's `exports` is such a file; that of the same name
            unless given.
    """

    take: ExportFn
    fill: FillFn
    required: bool = False
    export: str = ""


@dataclass(frozen=True)
class Health:
    """What the collapse doctor and protocols may ask of a method.

    Attributes:
        project: what its head says: the embeddings that the loss compares, or the
            scores of classes; None if nothing of this kind exists.
        chance: batch size -> the loss by chance; None if there is no such value.
        prototypes: how many the embeddings are compared with, if there are any.
        classes: how many the head scores, where it is a classifier.
        unlabelled: whether examples without a label, which is then -1, do no harm
            where its views have labels.
    """

    project: ProjectFn | None = None
    chance: ChanceFn | None = None
    prototypes: int | None = None
    classes: int | None = None
    unlabelled: bool = False


@dataclass(frozen=True)
class Shown:
    """A picture with a row for each example and a column for each array.

    Attributes:
        columns: by the words above it, (kind of field, array [n, ...]). The kind "view"
            is an image in the units of the evaluation's view, and "probabilities" are
            those of K classes, [n, K], drawn as bars of one scale and named. Columns
            whose words begin with the same "words: " stand together under these.
        caption: sentences below it.
        labels: by the words above a column, [n] int, the classes that are named below
            its pictures, negative where one is not known.
        agrees: by the words above a column, [n] bool, whether the frame of a picture is
            that of what agrees, or of what does not.
    """

    columns: Mapping[str, tuple[str, Array]]
    caption: str = ""
    labels: Mapping[str, Array] = field(default_factory=dict)
    agrees: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A self-supervised method as a value.

    Attributes:
        encoder: linen module that evaluation keeps; `__call__(x, *, train)` returns
            `Features`.
        views: one example -> its views.
        init: first params and state.
        loss: objective, next state and metrics.
        update: what moves after an optimizer step.
        refresh: optional stage between epochs.
        exports: what can be written to a file, by name; "encoder" always, the variables
            of `encoder` from whichever network the paper evaluates.
        loads: what another run's file can fill when this one begins, by name. Its
            encoder is described by the section `config.encoder`, or by the setting of
            the method that has the same name.
        health: for the collapse doctor, and for protocols that read the head.
        shows: pictures of a few examples, for the report.
        predicts: what it says of examples, by name. A view shows h x w pixels of T
            frames, of which number (T - 1) // 2 is the target: "depth" [B, h, w] of the
            target in metres or up to a factor, "disparity" [B, h, w] of the target in
            pixels of the view, "disparity_next" [B, h, w] in the next frame of the
            points that the target shows, "flow" [B, h, w, 2] from the target to the
            next frame in pixels of the view, "poses" [B, T, 3, 4] from each camera's
            coordinates to those of camera 0, "segmentation" [B, h, w, K] scores.
    """

    encoder: Any
    views: ViewFn
    init: InitFn
    loss: LossFn
    update: UpdateFn = unchanged
    refresh: Refresh | None = None
    # Dictionaries have no hash, which a static argument of `jax.jit` needs.
    exports: Mapping[str, ExportFn] = field(hash=False)
    loads: Mapping[str, Load] = field(default_factory=dict, hash=False)
    health: Health = Health()
    shows: ShowFn | None = None
    predicts: Mapping[str, PredictFn] = field(default_factory=dict, hash=False)
