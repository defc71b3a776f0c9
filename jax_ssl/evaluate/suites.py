"""The suites by name: the twelve data sets of linear transfer, and others like them.

The twelve are those of Kornblith et al., 2019, arXiv:1805.08974, with the splits and
metrics of SimCLR (arXiv:2002.05709, appendix B.8) and BYOL (arXiv:2006.07733).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jax_ssl.augment.squeezed import squeezed
from jax_ssl.data.revisited import ground_truth
from jax_ssl.data.revisited import revisited as photographs
from jax_ssl.evaluate import robustness
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.few_shot import few_shot
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.evaluate.revisited import revisited as judge_buildings
from jax_ssl.evaluate.suite import (
    SMALLEST_CANVAS,
    Asked,
    DataSet,
    Lacking,
    Suite,
    Task,
    check_sets,
    named,
    over,
)
from jax_ssl.evaluate.transfer import transfer
from jax_ssl.evaluate.transfer_labels import transfer_labels
from jax_ssl.evaluate.voc07 import voc07
from jax_ssl.evaluate.voc07_low_shot import voc07_low_shot

BY_CLASS = "mean_per_class"
MILLION = "revisitop1m"  # The folder of the authors' distractors.
SEVERAL = "map_11_point"  # Of images of several classes each.
# Shares for validation, where a set has no validation part, are about BYOL's.
TWELVE = (
    DataSet(
        name="food101",
        title="Food-101",
        dataset="food101",
        test="validation",  # TFDS's name for the published test part.
        sizes=(75_750, 25_250),
    ),
    DataSet(
        name="cifar10",
        title="CIFAR-10",
        dataset="cifar10",
        sizes=(50_000, 10_000),
        fixed=True,
    ),
    DataSet(
        name="cifar100",
        title="CIFAR-100",
        dataset="cifar100",
        sizes=(50_000, 10_000),
        fixed=True,
    ),
    DataSet(
        name="birdsnap",
        title="Birdsnap",
        sizes=(47_386, 2_443),
        manual="TFDS has no Birdsnap; its photographs are listed by the authors.",
    ),
    DataSet(
        name="sun397",
        title="SUN397",
        dataset="sun397/standard-part1-120k",
        sizes=(19_850, 19_850),
        held_out=0.2,
    ),
    DataSet(
        name="cars196",
        title="Cars",
        dataset="cars196",
        sizes=(8_144, 8_041),
        held_out=0.2,
    ),
    DataSet(
        name="aircraft",
        title="Aircraft",
        sizes=(6_667, 3_333),
        metric=BY_CLASS,
        manual="TFDS has no FGVC Aircraft; validation/CLASS/ holds its own val part.",
    ),
    DataSet(
        name="voc2007",
        title="VOC2007",
        dataset="voc/2007",
        validation="validation",
        sizes=(5_011, 4_952),
        metric=SEVERAL,
        folders=False,
    ),
    DataSet(
        name="dtd",
        title="DTD",
        dataset="dtd",
        validation="validation",
        sizes=(3_760, 1_880),
    ),
    DataSet(
        name="oxford_iiit_pet",
        title="Pets",
        dataset="oxford_iiit_pet",
        sizes=(3_680, 3_669),
        metric=BY_CLASS,
        held_out=0.2,
    ),
    DataSet(
        name="caltech101",
        title="Caltech-101",
        dataset="caltech101",
        sizes=(3_060, 6_084),
        metric=BY_CLASS,
        held_out=1 / 6,
    ),
    DataSet(
        name="oxford_flowers102",
        title="Flowers-102",
        dataset="oxford_flowers102",
        validation="validation",
        sizes=(2_040, 6_149),
        metric=BY_CLASS,
    ),
)
CERTAIN = {"certain": "labels_no_difficult"}  # TFDS's name.
ONE_CLASS = tuple(each for each in TWELVE if each.metric != SEVERAL)


def linear_transfer(
    own: DataSet, first: int | None, settings: Mapping[str, Mapping[str, Any]]
) -> Sequence[Protocol]:
    """Logistic regression by the metric of each set, chosen on its validation part."""
    how = {"held_out": own.held_out, "validation_from": first}
    if own.metric == SEVERAL:
        given = settings.get("transfer_labels", {})
        return [transfer_labels(**{**given, **how, **CERTAIN})]
    given = settings.get("transfer", {})
    return [transfer(**{**given, **how, "metric": own.metric})]


def support_vectors(
    own: DataSet, first: int | None, settings: Mapping[str, Mapping[str, Any]]
) -> Sequence[Protocol]:
    """VOC07's linear SVMs, on all of trainval and on few images."""
    few = {**settings.get("voc07_low_shot", {}), **CERTAIN}
    return [
        voc07(**{**settings.get("voc07", {}), **CERTAIN}),
        voc07_low_shot(**few),
    ]


def buildings(asked: Asked) -> Iterator[Task | Lacking]:
    """Revisited Oxford and Paris, the folders that their authors' program makes.

    Photographs are squeezed into the square that the encoder reads, so that no part of
    a building is lost; published numbers are of larger ones with their own ratios. With
    the authors' million of distractors each is judged once more, "+R1M".
    """
    sets = {"roxford5k": "ROxford", "rparis6k": "RParis"}
    known = {**sets, **{f"{k}+r1m": f"{title}+R1M" for k, title in sets.items()}}
    check_sets(asked, known)
    for each, title in known.items():
        name, _, more = each.partition("+")
        if asked.sets and each not in asked.sets:
            continue
        path, million = str(asked.data_dir / name), asked.data_dir / MILLION
        if more and not million.is_dir():
            files = "the photographs of revisitop1m, at any depth"
            yield Lacking(title, f"not there; {million} must hold {files}")
            continue
        if not (asked.data_dir / name).is_dir():
            files = f"gnd_{name}.pkl and the photographs in jpg/"
            yield Lacking(title, f"not there; {path} must hold {files}")
            continue
        canvas = max(SMALLEST_CANVAS, 2 * asked.side)
        view = squeezed(
            size=asked.side, mean=asked.view.get("mean"), std=asked.view.get("std")
        )
        try:
            parts = [
                photographs(
                    path=path,
                    split=split,
                    canvas=canvas,
                    distractors=str(million) if more else "",
                )
                for split in ("database", "queries")
            ]
            others = len(parts[0]) - len(ground_truth(path).images)
            own = {"ground_truth": path, "distractors": others}
            protocol = judge_buildings(**{**asked.settings.get("revisited", {}), **own})
        except (OSError, ValueError) as error:
            yield Lacking(title, str(error))
            continue
        yield Task(
            title=title,
            protocols=[named(protocol, title, data=[part.name for part in parts])],
            train=parts[0],
            test=parts[1],
            split="queries",
            view=view,
        )


SUITES: Mapping[str, Suite] = {
    "transfer": Suite(tasks=over(TWELVE, linear_transfer)),
    "few_label": Suite(
        tasks=over(
            ONE_CLASS,
            lambda own, first, settings: [few_label(**settings.get("few_label", {}))],
        )
    ),
    "few_shot": Suite(
        tasks=over(
            ONE_CLASS,
            lambda own, first, settings: [
                few_shot(**{"drawn_from": "both", **settings.get("few_shot", {})})
            ],
        )
    ),
    "voc07": Suite(
        tasks=over([s for s in TWELVE if s.metric == SEVERAL], support_vectors)
    ),
    "revisited": Suite(tasks=buildings),
    "robustness": Suite(
        tasks=robustness.tasks, summary=robustness.summary, classifies=True
    ),
}
