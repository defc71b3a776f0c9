"""What a report is made from: records, plain dicts, arrays and grids of pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jax_ssl.report.blocks import Pictures

Record = Mapping[str, Any]  # one line of metrics.jsonl


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything that the page shows; whatever is absent becomes a sentence there.

    Attributes:
        title: the page's title, such as the run's name.
        config: the resolved settings, nested mappings.
        metrics: records of metrics.jsonl in order, of kinds "train", "eval", "doctor".
        results: the content of results.json, {"evaluations": …, "skipped": …}.
        pictures: (title of the section, its grid, or a sentence why there is none), in
            the page's order; neighbours that share a title share the section.
        features: [N, D] frozen features of the map; None before the first checkpoint.
        labels: [N] int classes of `features`; negative where unlabelled.
        label_names: names by class, for the map.
        more_labels: by further fields, (labels, names) as these, for a map each.
        environment: command, commit, date, seconds, versions, devices; any of them.
        warnings: sentences for the top of the page, such as a count of corrupt images.
    """

    title: str
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Record] = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[tuple[str, Pictures | str]] = ()
    features: np.ndarray | None = None
    labels: np.ndarray | None = None
    label_names: Sequence[str] | None = None
    more_labels: Mapping[str, tuple[np.ndarray, Sequence[str] | None]] = field(
        default_factory=dict
    )
    environment: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.features is not None and self.labels is not None:
            found, wanted = np.shape(self.labels), np.shape(self.features)[:1]
            if found != wanted:
                raise ValueError(f"labels has shape {found}; features need {wanted}.")

    def of_kind(self, kind: str) -> list[Record]:
        """The records of one kind, in order."""
        return [record for record in self.metrics if record.get("kind") == kind]
