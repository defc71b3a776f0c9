"""What a data set looks like where the data set is not: its shapes and its length."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jax_ssl.core.fields import INDEX, LENGTH, ON_CANVAS, Field
from jax_ssl.data.canvas import sides_of
from jax_ssl.data.source import Rows, Source

# Data sets of TFDS: examples by split, and shape where all images have one.
KNOWN: dict[str, tuple[dict[str, int], tuple[int, int, int] | None]] = {
    "cifar10": ({"train": 50_000, "test": 10_000}, (32, 32, 3)),
    "cifar100": ({"train": 50_000, "test": 10_000}, (32, 32, 3)),
    "imagenet2012": ({"train": 1_281_167, "validation": 50_000}, None),
    "imagenet2012_subset/1pct": ({"train": 12_811, "validation": 50_000}, None),
    "imagenet2012_subset/10pct": ({"train": 128_116, "validation": 50_000}, None),
}


@dataclass(frozen=True, eq=False)
class StandIn(Source):
    """A source without examples; made by `stand_in`."""

    def read(self, rows: np.ndarray) -> Rows:
        """There are none.

        Raises:
            FileNotFoundError: always.
        """
        raise FileNotFoundError(f"{self.name} is only planned with; it has no images.")


def stand_in(data: Mapping[str, Any], num_examples: int | None = None) -> Source:
    """A source of the shapes that section `data` of a config would read.

    Images have the shape of `canvas` where it is set, else the known data set's. Where
    `samples` is set the examples are waves of so many.

    Args:
        data: the section, resolved.
        num_examples: instead of what is known of the data set.

    Raises:
        ValueError: if shape or number is neither set nor known, saying which to set.
    """
    dataset, split = str(data.get("dataset", data["name"])), str(data.get("split", ""))
    names = dataset.partition(":")[0], re.split("[:/]", dataset)[0]
    counts, shape = next((KNOWN[n] for n in names if n in KNOWN), ({}, None))
    canvas = data.get("canvas")
    if canvas is not None:
        channels = data.get("channels", 3)
        bands = len(channels) if isinstance(channels, list | tuple) else channels
        shape = (*sides_of(canvas), bands)
    if num_examples is None:
        num_examples = counts.get(split)
    absent = f"the data set ({dataset} {split}) is not here, and"
    if num_examples is None:
        raise ValueError(
            f"{absent} how many examples it has is not known; say --num_examples=N."
        )
    name = f"{dataset} {split}".strip()
    fields = {"index": INDEX}
    if counts or data.get("labels", "none") != "none":
        fields["label"] = Field("label", (), np.dtype("int32"))
    if samples := data.get("samples"):
        rate = data.get("rate")
        wave = Field("wave", (samples,), np.dtype("float32"), rate=rate)
        return StandIn(name, fields | {"wave": wave, "length": LENGTH}, num_examples)
    if shape is None:
        raise ValueError(
            f"{absent} its images' shape is not known; set --config.data.canvas=S, the "
            "side of a square in pixels."
        )
    fields["image"] = Field("image", shape, np.dtype("uint8"))
    if canvas is not None:
        fields |= ON_CANVAS
    return StandIn(name, fields, num_examples)
