"""A prepared TensorFlow Datasets directory, read without TensorFlow.

Both formats have random access: ArrayRecord by its own index, TFRecord by
`jax_ssl.data.tfrecord`. TensorFlow is only needed to prepare some of the sets, and
where TFDS asks for it: to describe features of type Audio and Video.
"""

import os
import pathlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np

from jax_ssl.core.fields import INDEX, ON_CANVAS, Kind
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached_below
from jax_ssl.data.canvas import Sides, shrink, sides_of, stack
from jax_ssl.data.source import Rows, Source, collect
from jax_ssl.data.tfds_features import LONG, Column, described, obvious_kind
from jax_ssl.data.tfrecord import TFRecords

# Kinds that cannot be told without the size of their picture.
NEED_SIZE = ("size", "scale", "boxes", "matrix")


class Records(Protocol):
    """Serialised examples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> bytes: ...

    def where(self, row: int) -> str:
        """Says where a record lies, for messages."""


@dataclass(frozen=True, eq=False)
class Prepared(Source):
    """A split of a prepared TFDS directory; made by `tfds`."""

    records: Records
    columns: Mapping[str, Column]  # By field, kept or not.
    canvas: Sides | None

    @cached_property
    def _read(self) -> dict[str, Column]:
        """The columns to decode: those kept, and a picture if its size is needed."""
        wanted = {name: c for name, c in self.columns.items() if name in self.fields}
        pictures = {name: c for name, c in self.columns.items() if c.field.sides}
        sized = any(f.kind in NEED_SIZE for f in self.fields.values())
        if sized and pictures and not wanted.keys() & pictures.keys():
            first = next(iter(pictures))
            wanted[first] = pictures[first]
        return wanted

    @cached_property
    def _parse(self) -> Callable[[bytes], dict[str, Any]]:
        from tensorflow_datasets import decode, features

        columns = self._read.values()
        parser = features.FeaturesDict({c.key: c.feature for c in columns})
        skip = {c.key: decode.SkipDecoding() for c in columns if c.encoded}
        return partial(parser.deserialize_example_np, decoders=skip)

    def __len__(self) -> int:
        return len(self.records)

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(collect(rows, self._example, self.records.where), self.fields)

    def _example(self, row: int) -> dict[str, np.ndarray]:
        stored, columns = self._parse(self.records[row]), self._read
        found = {k: c.value(stored[c.key], self.canvas) for k, c in columns.items()}
        sizes = {name: size for name, (_, size) in found.items() if any(size)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"its pictures have different sizes: {sizes}")
        height, width = next(iter(sizes.values()), (1, 1))
        example = {name: value for name, (value, _) in found.items()}
        for name, value in example.items():
            if columns[name].field.kind == "boxes":
                value[:, 1:] *= np.array([width, height] * 2, np.float32)
        if self.canvas is not None and sizes:
            fields = {name: column.field for name, column in columns.items()}
            return shrink(example, fields, (height, width), self.canvas)
        for name, value in example.items():
            shape, kind = columns[name].field.shape, columns[name].field.kind
            if value.shape[kind in LONG :] != shape[kind in LONG :]:
                raise ValueError(f"the {name} is {value.shape}, not {shape}")
        return example


def tfds(
    *,
    dataset: str,
    data_dir: str,
    split: str,
    canvas: int | tuple[int, int] | None = None,
    image_key: str = "",
    label_key: str = "",
    fields: Mapping[str, Kind] | None = None,
    lengths: Mapping[str, int] | None = None,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a prepared TFDS directory.

    Every feature becomes a field of its name if its kind is obvious and its shape is
    known: images, videos ("frames"), labelled images ("mask"), classes ("label", in a
    sequence "labels"), boxes, audio ("wave") and matrices of cameras.

    Args:
        dataset: name, as in "cifar10", "cifar10:3.0.2" or "name/config"; without a
            version, the newest one that is there.
        data_dir: the folder of prepared data sets, "~" allowed.
        split: in TFDS's words, such as "train", "train[:90%]", "train[45000:]" or
            "train+test".
        canvas: (height, width) of the frame that pictures lie on, in pixels, or the
            side of a square; larger ones are shrunk until they fit. Needed where they
            differ in size; None where all have one shape. An RGB image takes the
            frame's bytes, 786,432 at 512 and 196,608 at 256.
        image_key: feature that is the field "image"; "" for the one of that name, or
            the only one.
        label_key: feature that is the field "label"; "" likewise.
        fields: kinds of features that are not obvious, such as {"depth_map": "depth"};
            see `core.fields.Field`. Flow may lack its third channel.
        lengths: of videos, audio and boxes of any number, how many frames, samples or
            boxes an example has; longer ones are cut, shorter ones padded.
        cache_gib: decoded examples are kept in memory where all fit in this.

    Raises:
        FileNotFoundError: if the set is not prepared there, saying how to prepare it
            and what is there.
        ValueError: for an unknown split or feature, for images of any size without a
            canvas, or for damaged files.
    """
    import tensorflow_datasets

    directory = _find(data_dir, dataset)
    try:
        builder = tensorflow_datasets.builder_from_directory(os.fspath(directory))
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ValueError(
            f"{dataset}: TFDS needs TensorFlow to describe audio and video; pip "
            "install 'jax_ssl[tensorflow]'."
        ) from error
    frame = None if canvas is None else sides_of(canvas)
    columns = _columns(
        dataset,
        builder.info.features,
        {"image": image_key, "label": label_key},
        fields or {},
        lengths or {},
        frame,
    )
    known = {name: column.field for name, column in columns.items()}
    on_canvas = frame is not None and any(f.sides for f in known.values())
    source = Prepared(
        f"{dataset} {split}",
        {**known, **(ON_CANVAS if on_canvas else {}), "index": INDEX},
        _records(builder, dataset, split),
        columns,
        frame,
    )
    return cached_below(source, cache_gib)


def _columns(
    dataset: str,
    features: Mapping[str, Any],
    keys: Mapping[str, str],
    asked: Mapping[str, Kind],
    lengths: Mapping[str, int],
    canvas: Sides | None,
) -> dict[str, Column]:
    """The features that become fields, by the field's name.

    Raises:
        ValueError: if one that the settings name is not there or cannot be read.
    """
    for key in (*asked, *lengths):
        if key not in features:
            raise ValueError(
                f"{dataset} has no feature {key!r} (data.fields, data.lengths); its "
                f"features are {sorted(features)}."
            )
    kinds = {key: asked.get(key) or obvious_kind(features[key]) for key in features}
    chosen = {name: _chosen(dataset, kinds, name, key) for name, key in keys.items()}
    named = {key: name for name, key in chosen.items() if key}
    found = {}
    for key, kind in sorted(kinds.items()):
        name = named.get(key, key)
        if kind is None or (name in keys and key not in named):
            continue
        length = lengths.get(key)
        try:
            found[name] = described(
                key, features[key], kind, canvas=canvas, length=length
            )
        except ValueError as error:
            if key in named or key in asked or key in lengths:
                raise ValueError(f"{dataset}: {error}") from error
    if not found:
        raise ValueError(
            f"{dataset}: no field is obvious among its features {sorted(features)}; "
            "name some and their kinds in data.fields."
        )
    return found


def _chosen(
    dataset: str, kinds: Mapping[str, str | None], name: str, key: str
) -> str | None:
    """The feature that is the field "image" or "label", which are also their kinds."""
    there = sorted(key for key, kind in kinds.items() if kind == name)
    if key and key not in there:
        raise ValueError(
            f"{dataset}: data.{name}_key = {key!r} is not of the kind {name!r} among "
            f"its features {sorted(kinds)}; those that are: {there or 'none'}."
        )
    if key or name in there:
        return key or name
    return there[0] if len(there) == 1 else None


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
