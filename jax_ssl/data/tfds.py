"""A prepared TensorFlow Datasets directory, read without TensorFlow.

Both formats have random access: ArrayRecord by its own index, TFRecord by
`jax_ssl.data.tfrecord`. TensorFlow is only needed to prepare some of the sets.
"""

import os
import pathlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached_below
from jax_ssl.data.canvas import decode, place
from jax_ssl.data.source import (
    Rows,
    Source,
    Spec,
    check_rows,
    collect,
    example_spec,
)
from jax_ssl.data.tfrecord import TFRecords


class Records(Protocol):
    """Serialised examples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> bytes: ...

    def where(self, row: int) -> str:
        """Says where a record lies, for messages."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A split of a prepared TFDS directory; made by `tfds`."""

    name: str
    records: Records
    features: Any  # tfds.features.FeaturesDict
    image_key: str
    image_shape: tuple[int, int, int]
    label_key: str | None
    label_names: tuple[str, ...] | None
    canvas: int | None

    @cached_property
    def spec(self) -> Spec:  # noqa: D102
        return example_spec(
            self.image_shape,
            labelled=self.label_key is not None,
            sized=self.canvas is not None,
        )

    @cached_property
    def _decoders(self) -> dict[str, Any]:
        import tensorflow_datasets

        skip = tensorflow_datasets.decode.SkipDecoding()
        return {key: skip for key in self.features if key != self.label_key}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, rows: np.ndarray) -> Rows:
        rows = check_rows(rows, len(self), self.name)
        examples = collect(rows, self._read, self.records.where)
        images = [image for image, _ in examples]
        out = {"index": rows.astype(np.int32)}
        if self.label_key is not None:
            out["label"] = np.array([label for _, label in examples], np.int32)
        if self.canvas is None:
            out["image"] = np.stack(images) if images else self._no_images()
        else:
            channels = self.image_shape[-1]
            out["image"], out["size"] = place(images, self.canvas, channels)
        return out

    def _no_images(self) -> np.ndarray:
        return np.zeros((0, *self.image_shape), np.uint8)

    def _read(self, row: int) -> tuple[np.ndarray, int]:
        example = self.features.deserialize_example_np(
            self.records[row], decoders=self._decoders
        )
        # Not turned by its EXIF tag: TFDS does not turn it either.
        image = decode(
            example[self.image_key],
            canvas=self.canvas,
            channels=self.image_shape[-1],
            upright=False,
        )
        if self.canvas is None and image.shape != self.image_shape:
            raise ValueError(f"the image is {image.shape}, not {self.image_shape}")
        label = 0 if self.label_key is None else int(example[self.label_key])
        return image, label


def tfds(
    *,
    dataset: str,
    data_dir: str,
    split: str,
    canvas: int | None = None,
    image_key: str = "",
    label_key: str = "",
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a prepared TFDS directory.

    Args:
        dataset: name, as in "cifar10", "cifar10:3.0.2" or "name/config"; without a
            version, the newest one that is there.
        data_dir: the folder of prepared data sets, "~" allowed.
        split: in TFDS's words, such as "train", "train[:90%]", "train[45000:]" or
            "train+test".
        canvas: S; images are shrunk until the longer side fits S pixels. Needed where
            they differ in size; None where all have one shape.
        image_key: feature that holds the image; "" for the obvious one.
        label_key: feature that holds the label; "" for the obvious one, or no label.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if the set is not prepared there, saying how to prepare it
            and what is there.
        ValueError: for an unknown split or feature, for images of any size without a
            canvas, or for damaged files.
    """
    import tensorflow_datasets

    directory = _find(data_dir, dataset)
    builder = tensorflow_datasets.builder_from_directory(os.fspath(directory))
    info = builder.info
    image_key = _image_key(tensorflow_datasets.features, info, dataset, image_key)
    label = _label_key(tensorflow_datasets.features, info, dataset, label_key)
    feature = info.features[label] if label else None
    source = Prepared(
        name=f"{dataset} {split}",
        records=_records(builder, dataset, split),
        features=info.features,
        image_key=image_key,
        image_shape=_image_shape(info.features[image_key], dataset, canvas),
        label_key=label,
        label_names=tuple(getattr(feature, "names", ())) or None,
        canvas=canvas,
    )
    return cached_below(source, cache_gib)


def _find(data_dir: str, dataset: str) -> pathlib.Path:
    root = pathlib.Path(data_dir).expanduser()
    name, _, version = dataset.partition(":")
    ready = _prepared(root)
    fitting = {
        path: number
        for path, (full, number) in ready.items()
        if (full == name or full.startswith(f"{name}/")) and version in ("", number)
    }
    if not fitting:
        there = ", ".join(f"{full}:{number}" for full, number in ready.values())
        raise FileNotFoundError(
            f"no prepared data set {dataset!r} in data.data_dir = {str(root)!r} "
            f"(there: {there or 'none'}). Prepare it once, on any machine: pip install "
            f"'jax_ssl[tensorflow]' and tfds build {name} --data_dir={root}"
        )
    configs = sorted({ready[path][0] for path in fitting})
    if len(configs) > 1:
        raise FileNotFoundError(
            f"data.dataset = {dataset!r} has several configurations in {root}; name "
            f"one of {', '.join(configs)}."
        )
    return max(fitting, key=lambda path: tuple(map(int, fitting[path].split("."))))


def _prepared(root: pathlib.Path) -> dict[pathlib.Path, tuple[str, str]]:
    """Directory -> (name or name/config, version) of all prepared data sets."""
    found = {}
    for depth in ("*/*", "*/*/*"):
        for info in sorted(root.glob(f"{depth}/dataset_info.json")):
            path = info.parent
            if re.fullmatch(r"\d+\.\d+\.\d+", path.name):
                name = path.parent.relative_to(root).as_posix()
                found[path] = (name, path.name)
    return found


def _image_key(features: Any, info: Any, dataset: str, key: str) -> str:
    images = [
        name
        for name, feature in sorted(info.features.items())
        if isinstance(feature, features.Image)
        and not isinstance(feature, features.LabeledImage)
    ]
    if key in images:
        return key
    if not key and ("image" in images or len(images) == 1):
        return "image" if "image" in images else images[0]
    asked = f"data.image_key = {key!r} is not an image" if key else "no obvious image"
    raise ValueError(
        f"{dataset}: {asked} among its features {sorted(info.features)}; its images "
        f"are {images or 'none'}: name one in data.image_key."
    )


def _label_key(features: Any, info: Any, dataset: str, key: str) -> str | None:
    labels = [
        name
        for name, feature in sorted(info.features.items())
        if isinstance(feature, features.ClassLabel)
    ]
    if key and key not in labels:
        raise ValueError(
            f"{dataset}: data.label_key = {key!r} is not a class label; its labels are "
            f"{labels or 'none'}."
        )
    if key or "label" in labels:
        return key or "label"
    return labels[0] if len(labels) == 1 else None


def _image_shape(
    feature: Any, dataset: str, canvas: int | None
) -> tuple[int, int, int]:
    height, width, channels = feature.shape
    channels = channels or 3
    if channels not in (1, 3) or np.dtype(feature.np_dtype) != np.uint8:
        raise ValueError(
            f"{dataset}: images of {channels} channels of {feature.np_dtype} cannot be "
            "read; only uint8 with 1 or 3 channels can."
        )
    if canvas is not None:
        if canvas < 1:
            raise ValueError(f"data.canvas = {canvas}; it must be at least 1 pixel.")
        return canvas, canvas, channels
    if height is None or width is None:
        raise ValueError(
            f"{dataset} stores images of any size; set data.canvas to the side of the "
            "square that they are shrunk into, for example 256."
        )
    return height, width, channels


def _records(builder: Any, dataset: str, split: str) -> Records:
    from tensorflow_datasets.core import file_adapters

    splits = builder.info.splits
    try:
        parts = splits[split].file_instructions
    except (KeyError, ValueError) as error:
        there = ", ".join(f"{k} ({v.num_examples})" for k, v in splits.items())
        raise ValueError(
            f"{dataset} has no data.split = {split!r}. Its splits are {there}; parts "
            "are written like train[:90%] or train[45000:]."
        ) from error
    if not sum(part.take for part in parts):
        raise ValueError(f"{dataset}: data.split = {split!r} holds no examples.")
    if builder.info.file_format == file_adapters.FileFormat.TFRECORD:
        return TFRecords(parts)
    if builder.info.file_format == file_adapters.FileFormat.ARRAY_RECORD:
        return _ArrayRecords(builder, split)
    raise ValueError(
        f"{dataset} is stored as {builder.info.file_format.value}; prepare it as "
        "array_record or tfrecord."
    )


class _ArrayRecords:
    def __init__(self, builder: Any, split: str) -> None:
        import tensorflow_datasets

        self._split = split
        self._data = builder.as_data_source(
            split,
            deserialize_method=tensorflow_datasets.decode.DeserializeMethod.RAW_BYTES,
        )

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, row: int) -> bytes:
        return self._data[row]

    def where(self, row: int) -> str:
        return f"split {self._split}, record {row}"
