"""Suites are values too: several data sets, and how each of them judges an encoder."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from jax_ssl.core.method import ViewFn
from jax_ssl.data.classes import Unknown
from jax_ssl.data.folder import folder
from jax_ssl.data.joined import joined
from jax_ssl.data.source import Source
from jax_ssl.data.tfds import tfds
from jax_ssl.evaluate.part import Part
from jax_ssl.evaluate.protocol import Outcome, Protocol, Skipped

WIDEST = 16 / 7  # Ratio of an image's sides up to which none is enlarged again.
SMALLEST_CANVAS = 128


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a suite is given.

    Attributes:
        data_dir: the folder of its data sets.
        sets: the names of some of them, all if there are none.
        side: of the square that the encoder reads, in pixels.
        view: settings of the run's own evaluation view.
        settings: of protocols, by their name, where the user gives some.
        test: the run's own test part, if there is one.
        classes: names of the classes of the run's own classifier, if it is one.
        baseline: results of another run, for suites that compare with one.
        unknown: what becomes of examples of classes that the classifier has not.
    """

    data_dir: pathlib.Path
    sets: tuple[str, ...] = ()
    side: int
    view: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    test: Source | None = None
    classes: tuple[str, ...] | None = None
    baseline: pathlib.Path | None = None
    unknown: Unknown = "refuse"


@dataclass(frozen=True, kw_only=True)
class Task:
    """Two parts of a data set and the protocols that judge by them.

    Attributes:
        title: of the data set, in words.
        protocols: bound ones.
        train: training part.
        test: test part.
        split: what the test part is called in the record.
        note: a sentence about the data, for the log.
        view: in the place of that of all tasks.
    """

    title: str
    protocols: Sequence[Protocol]
    train: Source
    test: Source
    split: str = "test"
    note: str = ""
    view: ViewFn | None = None


@dataclass(frozen=True)
class Lacking:
    """A data set that is not there, and how to prepare it."""

    title: str
    reason: str


# A task is opened when it is asked for: there may be many, and each holds images.
Tasks: TypeAlias = Callable[[Asked], Iterator[Task | Lacking]]
# What was asked and all evaluations, to those that stand in results.json.
Summary: TypeAlias = Callable[[Asked, list[dict[str, Any]]], list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Several data sets under one name.

    Attributes:
        tasks: what there is to do, in order, and what is not there.
        summary: what all evaluations say together; they themselves unless given.
        classifies: whether it judges a method's own classifier, which must be one.
    """

    tasks: Tasks
    summary: Summary = lambda asked, evaluations: evaluations
    classifies: bool = False


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A published data set with its splits.

    Attributes:
        name: of its folder, and in `--sets`.
        title: in words.
        dataset: its name in TFDS; "" if it has none there.
        train: its training split in TFDS's words.
        validation: its own validation split; "" if a part of train is held out.
        test: its test split.
        sizes: published numbers of training examples, validation included, and of test
            examples.
        metric: by which papers judge it.
        held_out: share of every class of train for validation, where it has none.
        fixed: whether all images have one size.
        folders: whether it may be a folder of class folders.
        manual: what has to be known to prepare it, beside the command.
    """

    name: str
    title: str
    dataset: str = ""
    train: str = "train"
    validation: str = ""
    test: str = "test"
    sizes: tuple[int, int] | None = None
    metric: str = "accuracy"
    held_out: float = 0.1
    fixed: bool = False
    folders: bool = True
    manual: str = ""


# A data set, the number of its first validation example if it has its own, and what the
# user has set of protocols by name, to the protocols that judge by it.
Judged: TypeAlias = Callable[
    [DataSet, int | None, Mapping[str, Mapping[str, Any]]], Sequence[Protocol]
]


def over(sets: Sequence[DataSet], judged: Judged) -> Tasks:
    """The tasks of a suite that has these data sets, or some of them.

    A name of `Asked.sets` that is none of theirs is a folder of class folders.

    Args:
        sets: the data sets.
        judged: makes the protocols of each.

    Raises:
        ValueError: from the tasks, for a name that is neither.
    """
    known = {each.name: each for each in sets}

    def tasks(asked: Asked) -> Iterator[Task | Lacking]:
        check_sets(asked, known)
        for name in asked.sets or known:
            own = known.get(name) or DataSet(name=name, title=name.rstrip("/"))
            try:
                train, test, first = opened(own, asked)
            except (OSError, ValueError) as error:
                yield Lacking(own.title, str(error))
                continue
            protocols = [
                named(protocol, own.title, data=[train.name, test.name])
                for protocol in judged(own, first, asked.settings)
            ]
            yield Task(
                title=own.title,
                protocols=protocols,
                train=train,
                test=test,
                note=_unlike(own, len(train), len(test)),
            )

    return tasks


def check_sets(asked: Asked, known: Iterable[str]) -> None:
    """Refuses a name of `Asked.sets` that is no set of a suite, and no folder.

    Raises:
        ValueError: with the names that are known.
    """
    for name in asked.sets:
        if name not in known and not (asked.data_dir / name).is_dir():
            raise ValueError(
                f"--sets: {name!r} is no folder in {asked.data_dir}, and none of the "
                f"sets, which are {', '.join(known)}."
            )


def opened(own: DataSet, asked: Asked) -> tuple[Source, Source, int | None]:
    """Training part with its validation examples at the end, test part, and their row.

    It is a prepared TFDS directory, or else a folder with the sub-folders "train",
    "test", and perhaps "validation", whose sub-folders are the classes.

    Raises:
        FileNotFoundError: if it is not there, saying how to prepare it.
        ValueError: if it cannot be read.
    """
    canvas = max(SMALLEST_CANVAS, int(np.ceil(WIDEST * asked.side)))
    root = asked.data_dir / own.name
    prepared = own.dataset and _prepared(asked.data_dir, own.dataset)

    def part(split: str) -> Source:
        if not prepared:
            return folder(path=str(root), split=split, canvas=canvas, labels="folders")
        return tfds(
            dataset=own.dataset,
            data_dir=str(asked.data_dir),
            split=split,
            canvas=None if own.fixed else canvas,
        )

    if prepared:
        first = len(part(own.train)) if own.validation else None
        both = "+".join(filter(None, (own.train, own.validation)))
        return part(both), part(own.test), first
    missing = [s for s in ("train", "test") if not (root / s).is_dir()]
    if missing or not own.folders:
        raise FileNotFoundError(_remedy(own, asked.data_dir, root, missing))
    train, test, first = part("train"), part("test"), None
    if (root / "validation").is_dir():
        first = len(train)
        train = joined(train, part("validation"))
    return train, test, first


def named(protocol: Protocol, title: str, **settings: Any) -> Protocol:
    """The protocol, which says on what data it judges.

    Args:
        protocol: a bound one.
        title: of the data.
        **settings: for the record, beside the protocol's own.
    """

    def run(train: Part, test: Part) -> Iterable[Outcome | Skipped]:
        for each in protocol.run(train, test):
            if isinstance(each, Skipped):
                yield each
                continue
            yield dataclasses.replace(
                each,
                title=f"{title}, {each.title}",
                settings={**each.settings, **settings},
                remark=f"{title}, {each.remark}" if each.remark else "",
            )

    return dataclasses.replace(protocol, name=f"{protocol.name}: {title}", run=run)


def _prepared(data_dir: pathlib.Path, dataset: str) -> bool:
    """Whether a version of a TFDS data set is there, or a part of it."""
    return any((data_dir / dataset).glob("*/*.json"))


def _remedy(
    own: DataSet, data_dir: pathlib.Path, root: pathlib.Path, missing: Sequence[str]
) -> str:
    """What is not there, and what would be."""
    if own.folders and root.is_dir():
        return (
            f"{root} has no folder {' and no '.join(missing)}; it must hold "
            "train/CLASS/ and test/CLASS/ of images."
        )
    ways = []
    if own.dataset:
        ways.append(
            "pip install tensorflow tensorflow-datasets; tfds build "
            f"{own.dataset} --data_dir={data_dir}"
        )
    if own.folders:
        ways.append(f"class folders in {root}/train/ and {root}/test/")
    return f"not there; make it by {', or '.join(ways)}. {own.manual}".strip()


def _unlike(own: DataSet, train: int, test: int) -> str:
    """A sentence where the numbers of examples are not the published ones."""
    if own.sizes is None:
        return ""
    pairs = zip((train, test), own.sizes, strict=True)
    if all(abs(here - there) <= 0.01 * there for here, there in pairs):
        return ""
    return (
        f"{own.title}: {train:,} training and {test:,} test examples are here, where "
        f"the published splits have {own.sizes[0]:,} and {own.sizes[1]:,}; numbers are "
        "not to be compared with the papers'."
    )
