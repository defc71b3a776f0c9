"""A prepared TensorFlow Datasets directory, read without TensorFlow.

Both formats have random access: ArrayRecord by its own index, TFRecord by
`jax_ssl.data.tfrecord`. TensorFlow is only needed to prepare some of the sets, and
where TFDS asks for it: to describe features of type Audio and Video.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from jax_ssl.core.fields import INDEX, LENGTH, ON_CANVAS, Kind
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.canvas import Sides, shrink, sides_of, stack
from jax_ssl.data.places import remote
from jax_ssl.data.ranges import Range, check_range
from jax_ssl.data.source import Rows, Source
from jax_ssl.data.tfds_features import LONG, Column, described, obvious_kind
from jax_ssl.data.tfds_prepared import (
    check_described,
    check_files,
    check_records,
    find,
)
from jax_ssl.data.tfrecord import TFRecords

# Kinds that cannot be told without the size of their picture.
NEED_SIZE = ("size", "scale", "boxes", "matrix")


@dataclass(frozen=True, eq=False)
class Prepared(Source):
    """A split of a prepared TFDS directory; made by `tfds`."""

    records: Any  # A sequence of serialised examples, bytes each.
    parts: Sequence[Any]  # TFDS's `FileInstruction`s, which say where they lie.
    columns: Mapping[str, Column]  # By field, kept or not.
    canvas: Sides | None

    @cached_property
    def _read(self) -> dict[str, Column]:
        """The columns to decode: those kept, and a picture if its size is needed."""
        wanted = set(self.fields)
        pictures = [name for name, c in self.columns.items() if c.field.sides]
        if self._measured:
            wanted.add("wave")
        sized = any(f.kind in NEED_SIZE for f in self.fields.values())
        if sized and wanted.isdisjoint(pictures):
            wanted |= set(pictures[:1])
        return {name: c for name, c in self.columns.items() if name in wanted}

    @property
    def _measured(self) -> bool:
        """Whether the length of the wave is asked for, which is no feature of TFDS."""
        return "length" in self.fields and "length" not in self.columns

    @cached_property
    def _parse(self) -> Callable[[bytes], dict[str, Any]]:
        from tensorflow_datasets import decode, features

        wanted = {column.key: column.feature for column in self._read.values()}
        parser = features.FeaturesDict(wanted)
        images = [key for key, x in wanted.items() if isinstance(x, features.Image)]
        skip = {key: decode.SkipDecoding() for key in images}
        return partial(parser.deserialize_example_np, decoders=skip)

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self._where, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        for part in self.parts:
            name = os.path.basename(part.filename)
            yield f"{name} {part.skip} {part.take}".encode()

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            return self.records[row]
        except OSError:
            return b""

    def _where(self, row: int) -> str:
        for part in self.parts:
            if row < part.take:
                break
            row -= part.take
        return f"{os.path.basename(part.filename)}, record {part.skip + row}"

    def _example(self, row: int) -> dict[str, np.ndarray]:
        stored, columns = self._parse(self.records[row]), self._read
        found = {k: c.value(stored[c.key], self.canvas) for k, c in columns.items()}
        sizes = {name: size for name, (_, size) in found.items() if any(size)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"its pictures have different sizes: {sizes}")
        height, width = next(iter(sizes.values()), (1, 1))
        fields = {name: column.field for name, column in columns.items()}
        example = {name: value for name, (value, _) in found.items()}
        if self._measured:
            example["length"] = np.array(len(example["wave"]), np.int32)
            fields["length"] = LENGTH
        for name, field in fields.items():
            if field.kind == "boxes":
                example[name][:, 1:] *= np.array([width, height] * 2, np.float32)
        if self.canvas is not None and sizes:
            return shrink(example, fields, (height, width), self.canvas)
        for name, field in fields.items():
            first = field.kind in LONG  # This axis may be shorter.
            shape = example[name].shape
            if shape[first:] != field.shape[first:]:
                raise ValueError(f"the {name} is {shape}, not {field.shape}")
        return example


def tfds(
    *,
    dataset: str,
    data_dir: str,
    split: str,
    canvas: int | tuple[int, int] | None = None,
    image_key: str = "",
    label_key: str = "",
    wave_key: str = "",
    fields: Mapping[str, Kind] | None = None,
    lengths: Mapping[str, int] | None = None,
    range: tuple[float | str, float | str] | None = None,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a prepared TFDS directory.

    Every feature becomes a field of its name if its kind is obvious and its shape is
    known: images, videos ("frames"), labelled images ("mask"), classes ("label", in a
    sequence "labels"), boxes, audio ("wave") and matrices of cameras.

    Args:
        dataset: name, as in "cifar10", "cifar10:3.0.2" or "name/config"; without a
            version, the newest one that is there.
        data_dir: the folder of prepared data sets, "~" allowed, or an address such as
            gs://bucket/folder, for which gcsfs or TensorFlow must be installed. There
            it must be prepared as tfrecord, and the first run reads all of it once.
        split: in TFDS's words, such as "train", "train[:90%]", "train[45000:]" or
            "train+test".
        canvas: (height, width) of the frame that pictures lie on, in pixels, or the
            side of a square; larger ones are shrunk until they fit. Needed where they
            differ in size; None where all have one shape. An RGB image takes the
            frame's bytes, 786,432 at 512 and 196,608 at 256.
        image_key: feature that is the field "image"; "" for the one of that name, or
            the only one.
        label_key: feature that is the field "label"; "" as for the image.
        wave_key: feature that is the field "wave"; "" as for the image. Where it is of
            any length, the field "length" says how many samples are its own.
        fields: kinds of features that are not obvious, such as {"depth_map": "depth"};
            see `core.fields.Field`. Flow may lack its third channel.
        lengths: of videos, audio and boxes of any number, how many frames, samples or
            boxes an example has; longer ones are cut, shorter ones padded.
        range: the numbers that are black and white in images, such as (0, 4095) for 12
            bits in uint16, or percentiles of each, such as ("0.1%", "99.9%"); None for
            0 to 255 in uint8. Images of uint16 need it.
        cache_gib: decoded examples are kept in memory where all fit in this.

    Raises:
        FileNotFoundError: if the set is not prepared there, saying how to prepare it
            and what is there; if a file of it is not there, naming the file.
        ValueError: for an unknown split or feature, for images of any size without a
            canvas, or for files that are damaged or cut off, naming the first.
    """
    import tensorflow_datasets

    directory = find(data_dir, dataset)
    frame = None if canvas is None else sides_of(canvas)
    keys = {"image": image_key, "label": label_key, "wave": wave_key}
    check_range(range)
    check_described(directory, dataset)
    try:
        info = tensorflow_datasets.builder_from_directory(os.fspath(directory)).info
        columns = _columns(
            info.features, keys, fields or {}, lengths or {}, frame, range
        )
        records, parts = _opened(info, split, directory)
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ValueError(
            f"{dataset}: TFDS needs TensorFlow to describe audio and video; pip "
            "install 'jax_ssl[tensorflow]'."
        ) from error
    except ValueError as error:
        raise ValueError(f"{dataset}: {error}") from error
    known = {name: column.field for name, column in columns.items()}
    if frame is not None and any(field.sides for field in known.values()):
        known |= ON_CANVAS
    if "wave" in columns and columns["wave"].feature.shape == (None,):
        known.setdefault("length", LENGTH)
    known["index"] = INDEX
    name, size = f"{dataset} {split}", len(records)
    source = Prepared(name, known, size, records, parts, columns, frame)
    return cached(source, cache_gib)


def _columns(
    features: Mapping[str, Any],
    keys: Mapping[str, str],
    asked: Mapping[str, Kind],
    lengths: Mapping[str, int],
    canvas: Sides | None,
    range: Range | None,
) -> dict[str, Column]:
    """The features that become fields, by the field's name.

    Args:
        features: of the data set.
        keys: which features are the fields "image", "label" and "wave"; "" where that
            is to be found out.
        asked: kinds of features, where they are set.
        lengths: of features, where they are set.
        canvas: (H, W) of pictures, if any.
        range: what is black and white in images.

    Raises:
        ValueError: if one that the settings name is not there or cannot be read.
    """
    for key in (*asked, *lengths):
        if key not in features:
            raise ValueError(
                f"there is no feature {key!r} (data.fields, data.lengths); the "
                f"features are {sorted(features)}."
            )
    kinds = {key: asked.get(key) or obvious_kind(features[key]) for key in features}
    named = {}
    for name, key in keys.items():
        there = sorted(key for key, kind in kinds.items() if kind == name)
        if key and key not in there:
            raise ValueError(
                f"data.{name}_key = {key!r} is not of the kind {name!r} among the "
                f"features {sorted(kinds)}; those that are: {there or 'none'}."
            )
        fitting = [key] if key else [name] if name in there else there
        if len(fitting) == 1:
            named[fitting[0]] = name
    found = {}
    for key, kind in sorted(kinds.items()):
        if kind is None or (key in keys and key not in named):
            continue
        try:
            found[named.get(key, key)] = described(
                key,
                features[key],
                kind,
                canvas=canvas,
                length=lengths.get(key),
                range=range,
            )
        except ValueError:
            if key in named or key in asked or key in lengths:
                raise
    if not found:
        raise ValueError(
            f"no field is obvious among the features {sorted(features)}; name some and "
            "their kinds in data.fields."
        )
    return found


def _opened(info: Any, split: str, directory: Any) -> tuple[Any, Sequence[Any]]:
    """The records of a split, and the parts of files that they are in."""
    try:
        parts = info.splits[split].file_instructions
    except (KeyError, ValueError) as error:
        there = ", ".join(f"{k} ({v.num_examples})" for k, v in info.splits.items())
        raise ValueError(
            f"there is no data.split = {split!r}. The splits are {there}; parts are "
            "written like train[:90%] or train[45000:]."
        ) from error
    if not sum(part.take for part in parts):
        raise ValueError(f"data.split = {split!r} holds no examples.")
    check_files(parts, split, directory)
    if info.file_format.value == "tfrecord":
        return TFRecords(parts), parts
    if info.file_format.value == "array_record":
        if remote(os.fspath(parts[0].filename)):
            raise ValueError(
                "it is stored as array_record, which cannot be read from an address; "
                "prepare it as tfrecord (tfds build --file_format=tfrecord), copy it "
                "here, or mount the bucket (gcsfuse)."
            )
        from array_record.python.array_record_data_source import ArrayRecordDataSource
        from array_record.python.array_record_module import ArrayRecordReader

        check_records(parts, ArrayRecordReader)
        return ArrayRecordDataSource(parts), parts
    raise ValueError(
        f"it is stored as {info.file_format.value}; prepare it as array_record or "
        "tfrecord."
    )
