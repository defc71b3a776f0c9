"""One list of class names for all parts of the data, and what labels may be.

Each source numbers its classes by itself, a folder those it holds files of, so that one
number may stand for different classes in two parts. The names decide.
"""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from jax_ssl.core.fields import Fields
from jax_ssl.data.cache import load
from jax_ssl.data.corrupt import Reader, sample
from jax_ssl.data.source import Source

Unknown = Literal["refuse", "drop", "keep"]
SHOWN = 10  # Names in a message, at most.
REMEDY = (
    " Use the same names, or set config.evals.unknown_classes to 'drop', which leaves "
    "out such examples, or to 'keep', which counts them as wrong."
)


def renumbered(
    source: Source,
    ruling: Fields,
    *,
    unknown: Unknown = "refuse",
    part: Source | None = None,
) -> tuple[Source, list[str]]:
    """The same examples, their classes numbered as the fields of another part are.

    Args:
        source: the part.
        ruling: fields of the part whose lists of names rule; those of other names, and
            lists that are the same, change nothing.
        unknown: what becomes of a class that the list lacks: "refuse" it; "drop": its
            label is -1, none; "keep": it has a number behind those of the list.
        part: the ruling part. Where neither has names, the numbers that occur there
            are the known ones; without it all are.

    Returns:
        The part, its fields' names being those of the list and of what was kept; and
        sentences for the log about classes that it lacks or that have no names.

    Raises:
        ValueError: naming the unknown classes, or those that two numbers stand for; for
            different lists of names of fields that are no single labels.
    """
    fields, numbers, said = dict(source.fields), {}, list[str]()
    for name, field in source.fields.items():
        rule = ruling.get(name, field)
        if rule.names == field.names:
            bare = field.kind == "label" and field.names is None and name in ruling
            if bare and part is not None and unknown != "keep":
                there, taught = (np.unique(labels_of(p, name)) for p in (source, part))
                novel = np.setdiff1d(there[there >= 0], taught)
                if not novel.size:
                    continue
                words = ([str(n) for n in np.unique(a)] for a in (novel, taught))
                sentence = _unknown(source.name, *words)
                if unknown == "refuse":
                    raise ValueError(sentence + REMEDY)
                said.append(f"{sentence} Such examples are left out.")
                kept = np.where(np.isin(there, novel), -1, there)
                numbers[name] = (there, kept.astype(np.int32))
            continue
        if field.kind != "label":
            if field.names is None or rule.names is None:
                continue
            raise ValueError(
                f"{source.name}: {name} has the classes {_listed(field.names)}, and in "
                f"the training part {_listed(rule.names)}; of a field of kind "
                f"{field.kind!r} the two lists must be the same."
            )
        if rule.names is None:
            said.append(
                f"{source.name}: the classes of {name} have names, and none in the "
                "training part; the numbers are taken as they are."
            )
            continue
        own = _numbers(source, name, rule.names)
        if field.names is None and not _plain(rule.names):
            said.append(
                f"{source.name}: the classes of {name} have no names; their numbers "
                f"are taken for those of the training part, {_listed(rule.names)}."
            )
        known = set(rule.names)
        strange = [word for word in own if word not in known]
        if strange:
            sentence = _unknown(source.name, strange, rule.names)
            if unknown == "refuse":
                raise ValueError(sentence + REMEDY)
            fate = "are left out" if unknown == "drop" else "count as wrong"
            said.append(f"{sentence} Such examples {fate}.")
        if lacks := [word for word in rule.names if word not in own]:
            said.append(
                f"{source.name} lacks {len(lacks)} of the {len(rule.names)} classes of "
                f"the training part: {_listed(lacks)}."
            )
        names = (*rule.names, *(strange if unknown == "keep" else ()))
        place = {word: number for number, word in enumerate(names)}
        fields[name] = replace(field, names=names)
        numbers[name] = (
            np.array([-1, *own.values()]),
            np.array([-1, *(place.get(word, -1) for word in own)], np.int32),
        )
    return replace(source, fields=fields, numbers=numbers) if numbers else source, said


def check_labels(
    source: Source, name: str, num_classes: int | None, *, unlabelled: bool = False
) -> None:
    """Refuses labels that a method takes for a class, or has no output for.

    Where the classes have names, their number bounds the labels, and only a few are
    read, to see whether they are there at all.

    Args:
        source: training part.
        name: of a field of kind label.
        num_classes: outputs of the classifier; None where nothing is counted.
        unlabelled: whether negative labels, which stand for none, are welcome.

    Raises:
        ValueError: naming the largest label, or a negative one.
    """
    if num_classes is None and unlabelled:
        return
    names = source.fields[name].names
    labels = np.unique(labels_of(source, name))
    largest = int(labels[-1]) if names is None else len(names) - 1
    if labels[0] < 0 and not unlabelled:
        raise ValueError(
            f"{source.name} holds the {name} {labels[0]}, which is no class; leave out "
            "examples that have none, as feed.labels_per_class does without "
            "feed.labelled."
        )
    if num_classes is not None and largest >= num_classes:
        word = "" if names is None else f" ({names[-1]!r})"
        fewer = f", or number its {len(labels)} different ones from 0"
        raise ValueError(
            f"the labels of {source.name} reach {largest}{word} and count from 0, so "
            f"that num_classes = {num_classes} is too few: set num_classes = "
            f"{largest + 1}{fewer if names is None and len(labels) <= largest else ''}."
        )


def counted(source: Source, name: str) -> dict[int, int]:
    """How many examples every class has that occurs; all labels are read."""
    labels, counts = np.unique(labels_of_all(source, name), return_counts=True)
    pairs = zip(labels.tolist(), counts.tolist(), strict=True)
    return {label: count for label, count in pairs if label >= 0}


def labels_of(source: Source, name: str) -> np.ndarray:
    """The labels of all examples [N]; where classes have names, of 1,000 at most."""
    if source.fields[name].names is not None:
        return sample(source.keep([name]), 1000)[name]
    return labels_of_all(source, name)


def labels_of_all(source: Source, name: str) -> np.ndarray:
    """The labels of all examples [N, ...], all of which are read for it."""
    kept = source.keep([name])
    return load(kept, reader=Reader(kept, max_corrupt=1.0))[name]


def _numbers(source: Source, name: str, known: Sequence[str]) -> dict[str, int]:
    """The classes of a source by name; without names, those that occur.

    Raises:
        ValueError: if two have one name, there or among those that are known.
    """
    names = source.fields[name].names
    for words in (names or (), known):
        word, count = (Counter(words).most_common(1) or [("", 0)])[0]
        if count > 1:
            raise ValueError(
                f"{source.name}: two classes have the name {word!r}, so that they "
                "cannot be matched with other lists of names; give each its own."
            )
    if names is not None:
        return {word: number for number, word in enumerate(names)}
    there = np.unique(labels_of(source, name))
    return {
        known[number] if number < len(known) else str(number): number
        for number in there[there >= 0].tolist()
    }


def _unknown(part: str, strange: Sequence[str], known: Sequence[str]) -> str:
    close = difflib.get_close_matches(strange[0], known, n=1, cutoff=0.5)
    hint = f"; is it {close[0]!r}?" if close and len(strange) == 1 else "."
    one = "class" if len(strange) == 1 else f"{len(strange)} classes"
    return (
        f"{part} has the {one} {_listed(strange)}, not among those of the training "
        f"part, {_listed(known)}{hint}"
    )


def _listed(words: Sequence[str]) -> str:
    """Names in a row, of many the first and the last."""
    if len(words) > SHOWN:
        first = ", ".join(map(repr, words[: SHOWN - 1]))
        return f"{first}, ..., {words[-1]!r}"
    return ", ".join(map(repr, words))


def _plain(names: Sequence[str]) -> bool:
    """Whether the names are the numbers themselves."""
    return list(names) == [str(number) for number in range(len(names))]
