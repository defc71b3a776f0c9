"""Robustness of a classifier: common corruptions, natural adversaries, renditions.

ImageNet-C: Hendrycks & Dietterich, 2019, arXiv:1903.12261. ImageNet-A: Hendrycks et
al., 2021, arXiv:1907.07174. ImageNet-R: Hendrycks et al., 2021, arXiv:2006.16241.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from jax_ssl.augment.views import identity
from jax_ssl.data.classes import renumbered
from jax_ssl.data.corrupted import corrupted
from jax_ssl.data.corruption_kinds import KINDS, SEVERITIES
from jax_ssl.data.few import Chosen
from jax_ssl.data.folder import folder
from jax_ssl.data.source import Source
from jax_ssl.data.tfds import tfds
from jax_ssl.evaluate.part import Part
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped
from jax_ssl.evaluate.suite import WIDEST, Asked, Lacking, Task, check_sets, named

Record = dict[str, Any]

NAME = "robustness"
CLEAN = "clean"
ERROR = Metric("error", better="lower")
# Mean errors of AlexNet over the severities, which the authors divide by (their
# spreadsheet, by way of google-research/augmix, imagenet.py), and its clean error.
ALEXNET = dict(
    zip(
        KINDS,
        (
            *(0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360),
            *(0.866816, 0.826572, 0.819324, 0.564592, 0.853204, 0.646056, 0.717840),
            0.606500,
        ),
        strict=True,
    )
)
ALEXNET_CLEAN = 0.435
IMAGENET_CLASSES = 1000
PUBLISHED = "imagenet-c"
SHIFTS = {
    "imagenet_a": ("ImageNet-A", "imagenet-a"),
    "imagenet_r": ("ImageNet-R", "imagenet-r"),
}
ROWS = 8  # Of the test part, that stand for a training part: nothing is learned.


def classifier_error(
    num_classes: int, *, among_present: bool = False, label: str = "label"
) -> Protocol:
    """The share of examples that a method's own classifier names wrongly.

    Args:
        num_classes: of the classifier.
        among_present: whether only classes that occur in the test part can be named, as
            the papers do with the 200 of ImageNet-A and -R.
        label: field that is predicted, by the classifier's own numbers.
    """

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        del train
        labels = test.fields[label][test.counts]
        present = np.unique(labels[labels < num_classes])
        if not len(present):
            yield Skipped("no example is of a class that the classifier has")
            return
        wrong = 0
        for scores, own in test.gathered(label):
            if among_present:
                predicted = present[scores[:, present].argmax(axis=1)]
            else:
                predicted = scores.argmax(axis=1)
            wrong += int((predicted != own).sum())
        yield Outcome(
            title="error",
            settings={"among": len(present) if among_present else num_classes},
            values={"error": wrong / len(labels)},
            remark=(
                f"the best of the {len(present)} classes that occur"
                if among_present
                else ""
            ),
        )

    return Protocol(
        name=NAME,
        reads="head",
        needs=(label,),
        metrics=(ERROR,),
        run=run,
        controls=False,
        told_apart="test" if among_present else "both",
    )


def tasks(asked: Asked) -> Iterator[Task | Lacking]:
    """The clean test part, its corruptions at each severity, ImageNet-A and -R.

    Images are cut as the run's own evaluation view cuts them, and then corrupted; where
    the folder imagenet-c holds the published files of a kind, as
    noise/gaussian_noise/1/CLASS/, these are read in their place.
    """
    check_sets(asked, (*KINDS, *SHIFTS))
    baseline_of(asked)  # What is wrong with it is said before hours have passed.
    wanted = asked.sets or (*KINDS, *SHIFTS)
    assert asked.classes is not None
    if asked.test is None:
        yield Lacking(CLEAN, "the run has no test part; name one in config.evals.test")
        return
    read = {"image", "label", "size"} & set(asked.test.fields)
    clean = asked.test.keep(read)
    first = np.arange(min(ROWS, len(clean)))
    some = Chosen(clean.name, clean.fields, len(first), clean, first)
    resize = max(asked.side, int(asked.view.get("resize") or asked.side))
    view = identity(mean=asked.view.get("mean"), std=asked.view.get("std"))

    def task(
        title: str, test: Source, *, among: bool = False, note: str = "", **told: Any
    ) -> Task:
        error = classifier_error(len(asked.classes or ()), among_present=among)
        return Task(
            title=title,
            protocols=[named(error, title, data=test.name, **told)],
            train=corrupted(some, None, size=asked.side, resize=resize),
            test=test,
            note=note,
            view=view,
        )

    cut = partial(corrupted, size=asked.side, resize=resize)
    yield task(CLEAN, cut(clean, None))
    for kind, severity in itertools.product(KINDS, SEVERITIES):
        if kind in wanted:
            title = f"{kind.replace('_', ' ')} {severity}"
            place = asked.data_dir / PUBLISHED / KINDS[kind].group / kind
            place = place / str(severity)
            test, note, published = cut(clean, kind, severity), "", place.is_dir()
            if published:
                try:
                    files = folder(path=str(place), labels="folders")
                    files, note = ruled(files, asked, f"{PUBLISHED}, {title}")
                except (OSError, ValueError) as error:
                    yield Lacking(title, str(error))
                    continue
                # They are cut already, to 224 pixels.
                test = corrupted(files, None, size=asked.side, resize=asked.side)
            own: Record = {
                "corruption": kind,
                "severity": severity,
                "published": published,
            }
            yield task(title, test, note=note, **own)
    for name in SHIFTS:
        if name in wanted:
            title, path = SHIFTS[name]
            try:
                source, note = shifted(name, path, asked, resize)
            except (OSError, ValueError) as error:
                yield Lacking(title, str(error))
                continue
            yield task(title, cut(source, None), among=True, note=note)


def ruled(source: Source, asked: Asked, name: str) -> tuple[Source, str]:
    """A source whose classes have the numbers of the run's own, by their names.

    Args:
        source: of images and labels.
        asked: the classes.
        name: that the source has in messages and in the record.

    Returns:
        The source, and sentences about classes that it or the run has not.

    Raises:
        ValueError: if it has a class that the run has not, and that is refused.
    """
    source = source.keep({"image", "label", "size"} & set(source.fields))
    source = replace(source, name=name)
    ruling = {"label": replace(source.fields["label"], names=asked.classes)}
    source, said = renumbered(source, ruling, unknown=asked.unknown)
    return source, " ".join(said)


def shifted(name: str, path: str, asked: Asked, resize: int) -> tuple[Source, str]:
    """ImageNet-A or -R, as TFDS has it or as the authors' archive unpacks; a note.

    Raises:
        FileNotFoundError: if neither is there.
        ValueError: if the run's classes are not ImageNet's, by their WordNet numbers.
    """
    canvas = int(np.ceil(WIDEST * resize))
    if (asked.data_dir / path).is_dir():
        root = str(asked.data_dir / path)
        source = folder(path=root, canvas=canvas, labels="folders")
    elif any((asked.data_dir / name).glob("*/dataset_info.json")):
        source = tfds(
            dataset=name, data_dir=str(asked.data_dir), split="test", canvas=canvas
        )
    else:
        raise FileNotFoundError(
            f"not there; unpack the authors' archive to {asked.data_dir / path}, or "
            "pip install tensorflow tensorflow-datasets; tfds build "
            f"{name} --data_dir={asked.data_dir}"
        )
    return ruled(source, asked, source.name)


def summary(asked: Asked, evaluations: list[Record]) -> list[Record]:
    """A row for each corruption, the mean over its severities, and mCE of them all.

    The corruption error is the sum of the errors over the severities, divided by that
    of a baseline: another run's results, or AlexNet's published ones where there are
    ImageNet's classes. The relative one subtracts the clean errors from both. mCE is
    the mean over the fifteen kinds; there is none where a severity was not judged.

    Raises:
        FileNotFoundError: if there is no file of the baseline.
        ValueError: if it holds no errors of all kinds.
    """
    severities: dict[str, list[Record]] = {}
    others: list[Record] = []
    for each in evaluations:
        kind = each["settings"].get("corruption")
        place = others if kind is None else severities.setdefault(kind, [])
        place.append(each)
    rows: list[Record] = []
    errors: dict[str, float] = {}
    for kind, group in severities.items():
        found = [each["rows"][0]["error"] for each in group]
        errors[kind] = float(np.mean(found))
        row = {**group[0]["rows"][0], "error": errors[kind]}
        row["detail"] = {**row["detail"], "severities": found, **_told(group)}
        words = kind.replace("_", " ")
        rows.append(
            {
                **group[0],
                "protocol": f"{NAME}: {words}",
                "title": f"{words}, error",
                "settings": {"corruption": kind, "severities": len(found)},
                "remark": "corruptions: mean over the severities",
                "rows": [row],
            }
        )
    whole = {k for k, group in severities.items() if len(group) == len(SEVERITIES)}
    clean = next((e for e in others if e["protocol"] == f"{NAME}: {CLEAN}"), None)
    if whole != KINDS.keys() or clean is None:
        return [*others, *rows]
    own = clean["rows"][0]["error"]
    base, base_clean, name = baseline_of(asked)
    if not base:
        return [*others, *rows]
    relative = [
        (errors[k] - own) / (base[k] - base_clean)
        for k in KINDS
        if base[k] != base_clean
    ]
    values = {
        "mce": float(np.mean([errors[kind] / base[kind] for kind in KINDS])),
        "relative_mce": float(np.mean(relative)) if relative else None,
    }
    total = {
        **clean,
        "protocol": f"{NAME}: mCE",
        "title": "mCE",
        "settings": {"baseline": name},
        "metrics": [asdict(Metric(name, better="lower")) for name in values],
        "remark": (
            f"mCE: errors divided by those of {name}; where the data have no published "
            "files, corruptions are made anew, frost without its photographs"
        ),
        "rows": [{"features": "trained", **values, "std": None, "detail": {}}],
    }
    return [*others, *rows, total]


def _told(group: Sequence[Record]) -> dict[str, str]:
    """A note where severities are missing, or are of images of two origins."""
    there = [each["settings"]["severity"] for each in group]
    read = [n["settings"]["severity"] for n in group if n["settings"].get("published")]
    notes = []
    if missing := sorted(set(SEVERITIES) - set(there)):
        notes.append(f"the mean lacks severity {', '.join(map(str, missing))}.")
    if 0 < len(read) < len(there):
        notes.append(
            f"severity {', '.join(map(str, read))} is read from {PUBLISHED}, others "
            "are made of the run's own test part."
        )
    return {"note": " ".join(notes)} if notes else {}


def baseline_of(asked: Asked) -> tuple[Mapping[str, float], float, str]:
    """Mean errors by corruption, the clean error, and whose they are; empty if none."""
    if asked.baseline is None:
        if len(asked.classes or ()) != IMAGENET_CLASSES:
            return {}, 0.0, ""
        return ALEXNET, ALEXNET_CLEAN, "AlexNet"
    path, most = asked.baseline, len(SEVERITIES)
    if not path.is_file():
        raise FileNotFoundError(f"--baseline={path} is not a file.")
    try:
        found = {
            each["protocol"].removeprefix(f"{NAME}: "): each["rows"][0]["error"]
            for each in json.loads(path.read_text())["evaluations"]
            if each["protocol"].startswith(f"{NAME}: ")
            and "error" in each["rows"][0]
            and each["settings"].get("severities", most) == most
        }
        errors = {kind: float(found[kind.replace("_", " ")]) for kind in KINDS}
        clean = float(found[CLEAN])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"--baseline={path} holds no errors of all corruptions ({error!r}); name "
            "the results.json of a run that --suite=robustness has judged."
        ) from error
    if right := [kind for kind, error in errors.items() if error <= 0]:
        raise ValueError(
            f"--baseline={path} has no error at all on {right[0]}, by which errors "
            "would be divided; name a run that makes some on every corruption."
        )
    return errors, clean, path.parent.name
