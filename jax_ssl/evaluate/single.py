"""Labels of one class only, for which every classifier is right: nothing is measured.

The labels are looked at before anything is computed where there are few of them, and
in any case once the features have been swept.
"""

import numpy as np

from jax_ssl.core.fields import Fields
from jax_ssl.data.classes import labels_of_all
from jax_ssl.evaluate.data import Data
from jax_ssl.evaluate.protocol import Protocol

MOST = 10_000  # Examples whose labels are read beforehand; of more, none.
REMEDY = "give labels of two classes or more, or leave the protocol out"
# Where all examples are of one class, a constant answer has the best of these.
CONSTANT = ("accuracy", "mean_per_class", "error")


def labels_before(data: Data, name: str) -> np.ndarray | None:
    """The labels of some examples before they are swept.

    Args:
        data: the examples.
        name: of a field of kind "label" or "labels".

    Returns:
        [n, ...] integers; None where there are more than `MOST`.
    """
    source = data.feed.source
    if len(source) > MOST:
        return None
    labels = labels_of_all(source, name)
    return labels if data.rows is None else labels[data.rows]


def single(
    protocol: Protocol,
    train: np.ndarray | None,
    test: np.ndarray | None,
    fields: Fields,
) -> str:
    """Why the labels say nothing to a protocol that classifies; "" if they do.

    Args:
        protocol: any; only those of labels are refused.
        train: labels [n, ...] of the training part, negative where there is none; None
            where they are not known.
        test: the same of the test part.
        fields: of the examples.
    """
    name = label_of(protocol)
    if not name:
        return ""
    names = fields[name].names if name in fields else None
    parts = {"training": train, "test": test}
    if protocol.kind_of(name) == "labels":
        for part, marks in parts.items():
            if marks is not None and len(marks) and not _told_apart(marks):
                return (
                    f"no class of {name!r} has {part} examples with it and others "
                    "without it, and of one side alone every ranking has an average "
                    f"precision of 100 %; {REMEDY}"
                )
        return ""
    asked = {"train": ["training"], "test": ["test"], "both": [*parts]}
    given = [parts[part] for part in asked[protocol.told_apart]]
    known = [labels for labels in given if labels is not None]
    if not known or len(known) < len(given):
        return ""
    classes = np.unique(np.concatenate(known))
    classes = classes[classes >= 0]
    if len(classes) != 1:
        return ""
    where = " and ".join(asked[protocol.told_apart])
    return (
        f"the {where} examples are all of class {_word(classes[0], names)} ({name!r}), "
        f"and a result of one class says nothing, for every answer is right; {REMEDY}"
    )


def one_answer(protocol: Protocol, test: np.ndarray, fields: Fields) -> str:
    """A sentence where all test examples are of one class, which the training has more.

    Args:
        protocol: any.
        test: labels [n] of the test part, negative where there is none.
        fields: of the examples.
    """
    name = label_of(protocol)
    if not name or protocol.kind_of(name) != "label":
        return ""
    classes = np.unique(test[test >= 0])
    if len(classes) != 1 or protocol.metrics[0].name not in CONSTANT:
        return ""
    names = fields[name].names if name in fields else None
    return (
        f"all test examples are of class {_word(classes[0], names)}, so that an answer "
        "that is always the same would have the best number."
    )


def label_of(protocol: Protocol) -> str:
    """The field of classes that a protocol predicts; "" if it predicts none."""
    name = next(iter(protocol.needs), "")
    return name if name and protocol.kind_of(name) in ("label", "labels") else ""


def _told_apart(marks: np.ndarray) -> bool:
    """Whether some class [n, K] has examples with it and others without it."""
    there = marks > 0
    return bool((there.any(axis=0) & ~there.all(axis=0)).any())


def _word(label: int, names: tuple[str, ...] | None) -> str:
    return str(label) if names is None or label >= len(names) else repr(names[label])
