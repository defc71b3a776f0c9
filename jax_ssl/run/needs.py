"""What evaluations need of the data and of their view, looked at before training."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jax_ssl.config import Experiment
from jax_ssl.core.fields import Fields, spec_of
from jax_ssl.core.method import ViewFn
from jax_ssl.data.classes import counted
from jax_ssl.evaluate.data import Data
from jax_ssl.evaluate.protocol import Protocol

Settings = Mapping[str, Any]
STANDARD = ("label", "mask")  # Where they lack, a protocol is skipped and says so.
MOST = 10_000  # Examples whose labels are counted for a warning; of more, none.


def check_needs(protocol: Protocol, part: str, data: Data, known: Fields) -> None:
    """Refuses a field that a protocol was told of and that it cannot use.

    Raises:
        ValueError: naming the field, and those of the kind that it needs.
    """
    fields = data.feed.fields
    all_fields = {**known, **fields}
    # What a method predicts is told of no field: the names are those of predictions.
    named = protocol.measured is not None
    if part == "train" and not (named or protocol.learns):
        return
    for name in protocol.needs:
        kind = protocol.kind_of(name)
        fit = sorted(n for n, field in all_fields.items() if field.kind == kind)
        if name in fields and name not in fit:
            why = f"is of kind {fields[name].kind!r}"
        elif name in fields or name in STANDARD or named:
            continue
        else:
            why = "is not there"
        raise ValueError(
            f"config.evals.{protocol.name}: field {name!r} {why} in the {part} part "
            f"({data.feed.name}); it needs one of kind {kind!r}: "
            f"{', '.join(fit) or 'there is none'}."
            + (" config.evals.labels names those to predict." * (kind == "label"))
        )


def draws(view: ViewFn, data: Data) -> bool:
    """Whether a view of these examples draws at random."""
    example = jax.tree.map(
        lambda s: np.zeros(s.shape, s.dtype), spec_of(data.feed.fields)
    )
    return "random_bits" in str(jax.make_jaxpr(view)(jax.random.key(0), example))


def doubts(experiment: Experiment, train: Data) -> Iterator[str]:
    """Sentences about an evaluation view that can work, and is hardly meant."""
    view = experiment.evals.view
    if draws(experiment.view, train):
        yield (
            f"config.evals.view = {view['name']} draws at random, so that examples are "
            "judged augmented; papers judge the likes of center_crop"
        )
    if experiment.method.health.classes is not None:
        unlike = unlike_moments(experiment.config["views"], view)
        yield from filter(None, [unlike])


def unlike_moments(views: Settings, view: Settings) -> str | None:
    """A sentence where training and evaluation standardize images differently.

    Args:
        views: section `views`, resolved.
        view: `evals.view`; what it does not name is None.
    """
    if "mean" not in views:
        return None
    learned, judged = (
        tuple(
            None if x is None else tuple(x) for x in (own.get("mean"), own.get("std"))
        )
        for own in (views, view)
    )
    if learned == judged:
        return None
    return (
        f"config.views has mean = {learned[0]} and std = {learned[1]}, and "
        f"config.evals.view {judged[0]} and {judged[1]}: the classifier is judged on "
        "values that it has not learned from; give both the same"
    )


def few_labels(protocol: Protocol, train: Data) -> str | None:
    """A sentence where a class has fewer examples than a protocol asks labels for.

    Args:
        protocol: of which some settings will be skipped then.
        train: training part; of more than `MOST` examples nothing is read.
    """
    source = train.feed.source
    label = next(iter(protocol.needs), "")
    if not protocol.per_class or label not in source.fields or len(source) > MOST:
        return None
    counts = counted(source, label)
    rarest = min(counts, key=counts.__getitem__, default=None)
    if rarest is None or counts[rarest] >= protocol.per_class:
        return None
    names = source.fields[label].names
    return (
        f"config.evals.{protocol.name}: class "
        f"{rarest if names is None else repr(names[rarest])} has {counts[rarest]} "
        f"training examples, fewer than the {protocol.per_class} labels a class that "
        "are asked for; what needs more will be skipped."
    )
