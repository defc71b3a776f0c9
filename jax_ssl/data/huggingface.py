"""Images in tables of the Hugging Face package `datasets`, here or on the hub."""

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from jax_ssl.core.fields import Field
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.images import MAX_MEGAPIXELS, open_file
from jax_ssl.data.pictures import Pictures, decoding, looked_at
from jax_ssl.data.source import Source, absent

# What `Dataset.save_to_disk` and `DatasetDict.save_to_disk` leave behind.
_SAVED = ("state.json", "dataset_dict.json")


@dataclass(frozen=True, eq=False)
class Table(Pictures):
    """Images in a column of a table; made by `huggingface`."""

    # A `datasets.Dataset` with the images' column alone, which are not decoded.
    table: Any = field(kw_only=True)

    def file(self, row: int) -> BinaryIO:  # noqa: D102
        (cell,) = self.table[row].values()
        if cell is None:
            raise ValueError("there is no image")
        if cell["bytes"] is not None:
            return io.BytesIO(cell["bytes"])
        return open_file(cell["path"])

    def where(self, row: int) -> str:  # noqa: D102
        return f"{self.name}, row {row}"

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        if self.labels is not None:
            yield self.labels.astype("<i4").tobytes()


def huggingface(
    *,
    dataset: str,
    subset: str = "",
    canvas: int | tuple[int, int] = 512,
    channels: int | tuple[int, ...] = 3,
    range: tuple[float | str, float | str] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    image_key: str = "",
    label_key: str = "",
    split: str = "",
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a data set of the Hugging Face package `datasets`.

    The images stay as they are stored, and are decoded when they are read.

    Args:
        dataset: a folder with Arrow or Parquet files, or that `save_to_disk` wrote; or
            a name on the hub, such as "uoft-cs/cifar10". The package keeps what it
            downloads, and Arrow copies of Parquet files, in ~/.cache/huggingface.
        subset: of a data set on the hub that has several, which of them.
        canvas: (height, width) of the frame that images lie on, in pixels, or the side
            of a square, as for a folder; an image takes the bytes of the frame.
        channels: 3 for RGB, 1 for grey; another number for all bands of files that have
            so many, or several numbers for these bands, counted from 0.
        range: the numbers of the files that are black and white, such as (0, 4095) for
            12 bits in 16, or percentiles of each image, such as ("0.1%", "99.9%"). None
            for all that integers of 8 or 16 bits can say.
        max_megapixels: that may be decoded at once, 4 MB each in every thread.
        image_key: column of the images; "" for the one of that name, or the only one.
        label_key: column of the labels: classes, whole numbers, or words, which are
            numbered in alphabetical order. "" for the one named label, or the only one
            of classes, or none.
        split: in the package's words, such as "train" or "train[:90%]"; "" where there
            is only one.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if there is no such folder or data set, saying why.
        ValueError: if the package is not installed, for an unknown split or column, or
            an image that is whole but not read by these settings.
    """
    settings = decoding(canvas, channels, range, max_megapixels)
    path = os.path.expanduser(dataset)
    here = os.path.isdir(path)
    if not here and ("://" in path or path.startswith((os.sep, "~", "."))):
        raise FileNotFoundError(absent("data.dataset", path, "folder"))
    package = _package()
    if here and any(os.path.isfile(os.path.join(path, name)) for name in _SAVED):
        table = _part(package.load_from_disk(path), dataset, split)
    else:
        try:
            found = package.load_dataset(
                path if here else dataset, subset or None, split=split or None
            )
        except (OSError, ValueError) as error:
            said = str(error).partition("\n")[0]
            asked = f"data.split = {split!r}" + (subset and f", subset {subset!r}")
            kind = FileNotFoundError if isinstance(error, OSError) else ValueError
            raise kind(
                f"data.dataset = {dataset!r}, {asked}, cannot be opened: {said[:400]}"
            ) from error
        table = found if split else _part(found, dataset, "")
    features: Mapping[str, Any] = table.features
    image = _image_of(features, image_key, package)
    key = _label_of(features, label_key, package)
    fields, label = dict(settings.fields), None
    if key is not None:
        label, names = _numbered(table, key, package)
        fields["label"] = Field("label", (), label.dtype, names)
    place = os.path.basename(os.path.abspath(path)) if here else dataset
    name = " ".join(filter(None, (place, subset, split)))
    table = table.with_format(None).select_columns([image])
    source = Table(
        name,
        fields,
        len(table),
        settings,
        label,
        table=table.cast_column(image, package.Image(decode=False)),
    )
    looked_at(source, settings.check)
    return cached(source, cache_gib)


def _package() -> Any:
    """The package that reads the tables.

    Raises:
        ValueError: if it is not installed, naming what installs it.
    """
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            "data.name = 'huggingface' and its data.dataset are read by the package "
            f"datasets, which is not there ({error}); pip install 'jax_ssl[hf]'."
        ) from error
    return datasets


def _part(found: Any, dataset: str, split: str) -> Any:
    """One split of what was opened.

    Raises:
        ValueError: if it is not there, or there are several and none is asked for.
    """
    if not isinstance(found, dict):
        own = str(found.split or "")
        if split in ("", own):
            return found
        raise ValueError(
            f"data.dataset = {dataset!r} was saved as one part"
            + (f", {own!r}" if own else "")
            + f", and not data.split = {split!r}; leave data.split empty."
        )
    if not split and len(found) == 1:
        return next(iter(found.values()))
    if split not in found:
        raise ValueError(
            f"data.dataset = {dataset!r} has no data.split = {split!r}; its splits are "
            f"{', '.join(found)}."
        )
    return found[split]


def _image_of(features: Mapping[str, Any], asked: str, package: Any) -> str:
    """The column of the images.

    Raises:
        ValueError: if it is not there or cannot hold images, or there are several.
    """

    def holds(feature: Any) -> bool:
        if isinstance(feature, Mapping):  # As Parquet has them without more.
            return set(feature) == {"bytes", "path"}
        binary = str(getattr(feature, "dtype", "")).endswith("binary")
        return isinstance(feature, package.Image) or binary

    able = [name for name, feature in features.items() if holds(feature)]
    found = [asked] if asked else ["image"] if "image" in able else able
    if len(found) != 1 or found[0] not in able:
        raise ValueError(
            f"data.image_key = {asked!r} does not say which column holds the images; "
            f"those that may are {', '.join(able) or 'none'}, of the columns "
            f"{', '.join(features)}."
        )
    return found[0]


def _label_of(features: Mapping[str, Any], asked: str, package: Any) -> str | None:
    """The column of the labels, if there is one.

    Raises:
        ValueError: if the one that is asked for is not there or holds no labels.
    """

    def holds(feature: Any) -> bool:
        kind = str(getattr(feature, "dtype", ""))
        plain = isinstance(feature, package.Value)
        number = kind.lstrip("u").startswith("int")
        words = kind in ("string", "large_string")
        return isinstance(feature, package.ClassLabel) or (plain and (number or words))

    able = [name for name, feature in features.items() if holds(feature)]
    if asked:
        if asked not in able:
            raise ValueError(
                f"data.label_key = {asked!r} is no column of labels; those that may be "
                f"are {', '.join(able) or 'none'}, of the columns "
                f"{', '.join(features)}."
            )
        return asked
    if "label" in able:
        return "label"
    classes = [n for n in able if isinstance(features[n], package.ClassLabel)]
    return classes[0] if len(classes) == 1 else None


def _numbered(
    table: Any, key: str, package: Any
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Labels [N] int32, -1 where there is none, and the names of the classes, if any.

    Raises:
        ValueError: for a number that is none of a class.
    """
    column = table.select_columns([key]).with_format("arrow")[:].column(key)
    values = column.to_pylist()
    feature = table.features[key]
    if isinstance(next((v for v in values if v is not None), 0), str):
        words = sorted({value for value in values if value is not None})
        place: dict[Any, int] = {word: number for number, word in enumerate(words)}
        return np.array([place.get(v, -1) for v in values], np.int32), tuple(words)
    numbers = np.array([-1 if v is None else v for v in values], np.int64)
    names = feature.names if isinstance(feature, package.ClassLabel) else None
    most = np.iinfo(np.int32).max if names is None else len(names) - 1
    wrong = np.flatnonzero((numbers < -1) | (numbers > most))
    if wrong.size:
        raise ValueError(
            f"data.label_key: row {wrong[0]} has the {key} {numbers[wrong[0]]}, which "
            f"is no class; they count from 0 to {most}, and -1 stands for none."
        )
    return numbers.astype(np.int32), None if names is None else tuple(names)
