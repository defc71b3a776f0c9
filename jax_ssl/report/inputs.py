"""What a report is made from: arrays and plain dicts, gathered by the command line."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Record = Mapping[str, Any]  # one line of metrics.jsonl


@dataclasses.dataclass(frozen=True, kw_only=True)
class Neighbors:
    """Test images and the training images whose features are nearest to theirs.

    Attributes:
        queries: [q, H, W, C] in [0, 1], the images asked about.
        images: [q, k, h, w, C] in [0, 1], nearest first, without the query itself.
        similarities: [q, k] cosines in [-1, 1].
        query_labels: [q] int, or None where the data has no labels.
        labels: [q, k] int, or None.
    """

    queries: np.ndarray
    images: np.ndarray
    similarities: np.ndarray
    query_labels: np.ndarray | None = None
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check("neighbors.queries", self.queries, (None,) * 4)
        q = self.queries.shape[0]
        _check("neighbors.images", self.images, (q,) + (None,) * 4)
        k = self.images.shape[1]
        _check("neighbors.similarities", self.similarities, (q, k))
        _check("neighbors.query_labels", self.query_labels, (q,))
        _check("neighbors.labels", self.labels, (q, k))


class Filled(NamedTuple):
    """Images with patches filled in, in the order of the originals.

    Attributes:
        mask: [n, H, W, 1] bool, True where the encoder saw nothing.
        prediction: [n, H, W, C] in [0, 1], what the decoder says of all pixels.
    """

    mask: np.ndarray
    prediction: np.ndarray


class Reconstructions(NamedTuple):
    """Images, and what a model makes of them from fewer and fewer patches.

    Attributes:
        images: [n, H, W, C] in [0, 1].
        filled: by the share of the patches that are hidden.
        trained_at: the share that was hidden in training.
        norm_pix: whether predictions borrow the mean and standard deviation of each
            true patch, because the model was trained without them.
    """

    images: np.ndarray
    filled: Mapping[float, Filled]
    trained_at: float
    norm_pix: bool


class Attention(NamedTuple):
    """What the class token of a ViT looks at.

    Attributes:
        images: [n, H, W, C] in [0, 1].
        maps: [n, heads, h, w], its attention to the patches in the last block.
        kept: [n, h, w] bool, the fewest patches that hold `mass` of the mean map.
        mass: the share that is kept.
    """

    images: np.ndarray
    maps: np.ndarray
    kept: np.ndarray
    mass: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything that the page shows; whatever is absent becomes a sentence there.

    Attributes:
        title: the page's title, such as the run's name.
        config: the resolved settings, nested mappings.
        metrics: records of metrics.jsonl in order, of kinds "train" and "eval".
        results: the content of results.json, {"evaluations": …, "skipped": …}.
        originals: [n, H, W, C] in [0, 1] (or uint8), the images of the views grid
            before augmentation.
        views: [n, V, h, w, C] float, what the network is given for `originals`; a
            sequence of such arrays where views have several sizes.
        view_mean: the per-channel mean that the recipe subtracts from its views, in the
            units of [0, 1]; None where it does not normalise or that is not known.
        view_std: the per-channel divisor that goes with `view_mean`.
        operations: by title, [n, h, w, C] in [0, 1]: n draws of each operation of the
            recipe on one image, and of its views; None where it has no steps to show.
        reconstructions: of a method that fills in hidden patches; else None.
        attention: of an encoder with a class token; else None.
        neighbors: the retrieval figure's images.
        features: [N, D] frozen features of the map.
        labels: [N] int classes of `features`; negative where unlabelled.
        label_names: names by class, for the map and the neighbours.
        environment: command, commit, date, seconds, versions, devices; any of them.
        warnings: sentences for the top of the page, such as a count of corrupt images.
        absent: why a part is missing, by the names "metrics", "evaluations", "views",
            "neighbors" and "features"; a general sentence stands in for the others.
    """

    title: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Sequence[Record] = ()
    results: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    originals: np.ndarray | None = None
    views: np.ndarray | Sequence[np.ndarray] | None = None
    view_mean: Sequence[float] | None = None
    view_std: Sequence[float] | None = None
    operations: Mapping[str, np.ndarray] | None = None
    reconstructions: Reconstructions | None = None
    attention: Attention | None = None
    neighbors: Neighbors | None = None
    features: np.ndarray | None = None
    labels: np.ndarray | None = None
    label_names: Sequence[str] | None = None
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    warnings: Sequence[str] = ()
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check("originals", self.originals, (None,) * 4)
        n = None if self.originals is None else self.originals.shape[0]
        for views in self.view_groups:
            _check("views", views, (n,) + (None,) * 4)
        for title, drawn in (self.operations or {}).items():
            _check(f"operations[{title!r}]", drawn, (None,) * 4)
        if (self.view_mean is None) != (self.view_std is None):
            raise ValueError(
                f"view_mean = {self.view_mean} and view_std = {self.view_std}: give "
                "both or neither."
            )
        _check("features", self.features, (None, None))
        if self.features is not None:
            _check("labels", self.labels, (self.features.shape[0],))

    @property
    def view_groups(self) -> tuple[np.ndarray, ...]:
        """The views by size, each [n, V, h, w, C]; empty where there are none."""
        if self.views is None:
            return ()
        return (self.views,) if isinstance(self.views, np.ndarray) else (*self.views,)


def class_name(label: int, names: Sequence[str] | None) -> str:
    """The name of class `label`, or its number where it has none."""
    if label < 0:
        return "unlabelled"
    return str(names[label]) if names is not None and label < len(names) else str(label)


def _check(name: str, array: Any, shape: tuple[int | None, ...]) -> None:
    """Raises ValueError unless `array` is None or has `shape` (None: any size)."""
    if array is None:
        return
    found = np.shape(array)
    if len(found) != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, found, strict=True)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {found}; the report needs [{wanted}].")
