"""Sources that lie in host memory: arrays and .npz files."""

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jax_ssl.core.fields import INDEX, VOID, Field, Kind, layout
from jax_ssl.data.advice import advice
from jax_ssl.data.bands import Channels, count_of
from jax_ssl.data.corrupt import spread
from jax_ssl.data.ranges import Range, bounds, check_range, in_range
from jax_ssl.data.source import Rows, Source, absent
from jax_ssl.data.waves import apart

_LARGEST = float(np.finfo(np.float32).max)
# Of the kinds whose floats are bounded, the lowest and highest value.
_RANGES = {"image": (0, 1), "frames": (0, 1), "wave": (-1, 1)}
KEPT = 16  # Images of which the numbers are kept as they were given.
NAMES = ("label_names", "class_names", "classes")  # Keys of an .npz file.
_REMEDY = {
    "image": "; divide by 255, store the bytes as uint8, or set data.range",
    "frames": "; divide by 255, store the bytes as uint8, or set data.range",
    "wave": "; divide 16-bit samples by 32768",
    "label": "; count from 0",
}


@dataclass(frozen=True, eq=False)
class Arrays(Source):
    """Examples in memory; made by `arrays`, which checks them."""

    arrays: Mapping[str, np.ndarray]  # {field: [N, ...]}, without "index".
    # Of images, some rows before the range was applied.
    before: np.ndarray | None = None

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return {k: x[rows] for k, x in self.arrays.items() if k in self.fields}

    def listed(self) -> Iterable[bytes | memoryview]:  # noqa: D102
        for name, values in sorted(self.arrays.items()):
            yield name.encode()
            yield np.ascontiguousarray(values).reshape(-1).view(np.uint8).data

    def stored(self, row: int) -> bytes:  # noqa: D102
        return b""

    def raw(self, count: int) -> list[np.ndarray]:  # noqa: D102
        return [] if self.before is None else [*self.before[:count]]


def arrays(
    given: Mapping[str, np.ndarray],
    kinds: Mapping[str, Kind] | None = None,
    *,
    label_names: Sequence[str] | None = None,
    mask_names: Sequence[str] | None = None,
    rate: float | None = None,
    range: Range | None = None,
    channels: Channels | None = None,
    name: str = "arrays",
) -> Arrays:
    """A source from arrays in memory, of any kinds.

    Args:
        given: {field: [N, ...]}, such as "image" and "label". Integers are brought to
            the dtype of the kind. Labels may be the names of classes. Images may lack
            the axis of their one channel; those with an axis more, [N, T, H, W, C],
            become the field "frames".
        kinds: what each is, see `core.fields.Field`, where its name does not say it.
        label_names: the classes in label order; where labels are names, those that
            occur in alphabetical order unless given.
        mask_names: the classes of masks, in order.
        rate: of waves, samples per second.
        range: what is black and white in images and frames, see `ranges.Range`, each
            example having percentiles of its own. Integers become uint8, floats stay
            floats.
        channels: how many images and frames must have, or which of them to take.
        name: what messages call it.

    Raises:
        ValueError: naming the field, what it is, and what it should be or how to
            convert it.
    """
    check_range(range)
    if channels is not None:
        count_of(channels)
    if np.ndim(given.get("image", 0)) == 5:
        others = {field: values for field, values in given.items() if field != "image"}
        given = {"frames": given["image"], **others}
    kind_of: dict[str, Any] = {field: field for field in given} | dict(kinds or {})
    before = None
    shown = np.asarray(given.get("image", given.get("frames", 0)))
    if range is not None and shown.ndim > 2:
        before = shown[spread(len(shown), KEPT)]
    given = {
        field: _pictures(values, kind_of[field], f"{name}: {field}", range, channels)
        for field, values in given.items()
    }
    names = None if label_names is None else tuple(map(str, label_names))
    regions = None if mask_names is None else tuple(map(str, mask_names))
    details: dict[str, dict[str, Any]] = {"wave": {"rate": rate}}
    details |= {"label": {"names": names}, "mask": {"names": regions}}
    made, more = {}, {}
    for field, values in given.items():
        kind, array, what = kind_of[field], np.asarray(values), f"{name}: {field}"
        more[field] = details.get(kind, {})
        if kind == "label" and array.dtype.kind in "US":
            array, own = _numbered(array, names if field == "label" else None, what)
            more[field] = {"names": own}
        made[field] = _checked(array, kind, what)
    lengths = {k: len(x) for k, x in made.items()}
    if len(set(lengths.values())) != 1 or not min(lengths.values()):
        raise ValueError(
            f"{name}: the fields hold {lengths} examples; all must have the same "
            "number, N >= 1."
        )
    for field, array in made.items():
        kind, words = kind_of[field], more[field].get("names")
        if words is not None and (kind == "mask" or field == "label"):
            here = np.where(array == VOID, 0, array) if kind == "mask" else array
            if (largest := here.max()) >= len(words):
                what = f"{name}: {field} {largest} has no name among the"
                raise ValueError(f"{what} {len(words)} {kind}_names.")
    fields = {
        field: Field(kind_of[field], array.shape[1:], array.dtype, **more[field])
        for field, array in made.items()
    }
    return Arrays(name, {**fields, "index": INDEX}, min(lengths.values()), made, before)


def _numbered(
    words: np.ndarray, names: tuple[str, ...] | None, what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels that are names of classes as numbers, and the names."""
    occurring, numbers = np.unique(_text(words), return_inverse=True)
    found = tuple(occurring.tolist())
    names = found if names is None else names
    if strange := sorted(set(found) - set(names)):
        raise ValueError(
            f"{what}: {strange[0]!r} is not among the label_names {names}."
        )
    order = np.array([names.index(word) for word in found], np.int32)
    return order[numbers.reshape(words.shape)], names


def _text(words: np.ndarray) -> np.ndarray:
    return np.char.decode(words, "utf-8") if words.dtype.kind == "S" else words


def _checked(array: np.ndarray, kind: Kind, what: str) -> np.ndarray:
    """[N, ...] in a dtype of the kind, its values inside their range."""
    axes, dtypes = layout(kind)
    if kind == "label" and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    dtype = np.dtype(dtypes[-1] if array.dtype.kind == "f" else dtypes[0])
    right = array.dtype.kind in ("iuf" if dtype.kind == "f" else "iu")
    if len(dtypes) > 1 and dtype.kind == "u":  # Larger integers have no known range.
        right = array.dtype == dtype
    if array.ndim != 1 + len(axes) or not right:
        remedy = advice(array, kind, 1 + len(axes))
        raise ValueError(
            f"{what} is {array.dtype} of shape {array.shape}; expected "
            f"[{', '.join(('N', *axes))}] of {' or '.join(dtypes)}.{remedy}"
        )
    if dtype.kind == "f":
        low, high = _RANGES.get(kind, (-_LARGEST, _LARGEST))
    else:
        low, high = 0, np.iinfo(dtype).max
    if array.size and not (array.min() >= low and array.max() <= high):
        raise ValueError(
            f"{what} holds values in [{array.min():.4g}, {array.max():.4g}]; they must "
            f"be finite and in [{low:.4g}, {high:.4g}]{_REMEDY.get(kind, '')}."
        )
    return array.astype(dtype, copy=False)


def _pictures(
    array: Any,
    kind: Kind,
    what: str,
    range: Range | None,
    channels: Channels | None,
) -> np.ndarray:
    """Images or frames with the channels and the range that are set; others as given.

    Raises:
        ValueError: if they lack these channels, or seem to have them in another place.
    """
    array = np.asarray(array)
    if kind == "image" and array.ndim == 3:
        array = array[..., None]
    if kind not in ("image", "frames") or array.ndim != 1 + len(layout(kind)[0]):
        return array
    *_, height, width, bands = array.shape
    if channels is None:
        if (height in (1, 3) and bands > 4) or height < width == bands:
            raise ValueError(
                f"{what} of shape {array.shape} is not [N, H, W, C]; transpose "
                f"channels-first arrays, or set data.channels = {bands} if it is."
            )
    elif isinstance(channels, tuple) and max(channels) < bands:
        array = array[..., list(channels)]
    elif channels != bands:
        raise ValueError(
            f"{what} of shape {array.shape} has {bands} channels, not data.channels = "
            f"{channels}; set it to {bands}, or to those to take, counted from 0."
        )
    if range is None:
        return array
    out = np.empty(array.shape, np.float32 if array.dtype.kind == "f" else np.uint8)
    for i, image in enumerate(array):
        out[i] = in_range(image, *bounds(image, range), out.dtype)
    return out


def npz(
    *,
    path: str,
    split: str = "",
    fields: Mapping[str, Kind] | None = None,
    rate: float | None = None,
    samples: int | None = None,
    range: tuple[float | str, float | str] | None = None,
    channels: int | tuple[int, ...] | None = None,
) -> Arrays:
    """A source from an .npz archive.

    Without a split the images are the key image, images, x or X, the labels (optional)
    label, labels, y or Y. With a split, say "train", each of these words is looked for
    as x_train and as train_x, and so are the names in `fields`.

    Args:
        path: the file. Labels are names of classes, or numbers from 0, whose names in
            order are the key label_names, class_names or classes; of masks, mask_names.
        split: the part of the file, "" for a file that holds one.
        fields: further arrays and their kinds, such as {"depth": "depth", "intrinsics":
            "matrix"}. With these there need not be images.
        rate: of a wave, samples per second.
        samples: of a wave. Those of several lengths may lie one after the other in one
            array, with their borders under the key offsets [N + 1]: the first so many
            samples of each stay, zeros follow shorter ones, and the field "length" says
            how many are its own. None for as many as the longest has.
        range: the numbers that are black and white in images, such as (0, 4095) for 12
            bits in uint16, or percentiles of each, such as ("0.1%", "99.9%"); NaN is
            black. None for 0 to 255 in uint8, and 0 to 1 in floats; others need it.
        channels: how many images must have, any number; or several numbers for those to
            take, counted from 0. None for all there are.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a key is missing, listing those present; or what `arrays`
            refuses.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(absent("data.path", path, "file"))
    words: dict[str, tuple[str, ...]] = {
        "image": ("image", "images", "x", "X"),
        "label": ("label", "labels", "y", "Y"),
        **{name: (name,) for name in fields or {}},
    }
    given, names, regions = {}, None, None
    with _opened(path) as archive:
        for name, each in words.items():
            keys = [key for word in each for key in _keys(word, split)]
            found = next((key for key in keys if key in archive), None)
            if found is not None:
                given[name] = _read(archive, found, path)
            elif name in (fields or ("image",)):
                raise ValueError(
                    f"{path} holds no {name} for data.split = {split!r}: looked for "
                    f"{', '.join(keys)}; the keys present are {sorted(archive)}."
                )
        for name in [n for n, kind in (fields or {}).items() if kind == "wave"]:
            if given[name].ndim == 1:
                keys = [*_keys("offsets", split), "offsets"]
                found = next((key for key in keys if key in archive), None)
                if found is None:
                    raise ValueError(
                        f"{path}: {name} has one axis and there is no key "
                        f"{keys[0]!r} that says where its waves end; store [N, T], or "
                        "the offsets [N + 1]."
                    )
                given[name], given["length"] = apart(
                    given[name], _read(archive, found, path), samples, path
                )
            elif samples is not None:
                given[name] = given[name][:, :samples]
        for key in (key for word in NAMES for key in (*_keys(word, split), word)):
            if names is None and key in archive:
                values = _read(archive, key, path)
                names = _text(values).tolist() if values.dtype.kind in "US" else None
        if "mask_names" in archive:
            regions = _text(_read(archive, "mask_names", path)).tolist()
    name = os.path.basename(path) + (f" {split}" if split else "")
    return arrays(
        given,
        fields,
        label_names=names,
        mask_names=regions,
        rate=rate,
        range=range,
        channels=channels,
        name=name,
    )


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no zip file")
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        if str(error).startswith(path):  # Already said of a key.
            raise
        raise ValueError(
            f"data.path = {path!r} is no .npz archive, or is damaged: {error}. Write "
            "it again with numpy.savez(path, x=..., y=...)."
        ) from error


def _read(archive: Any, key: str, path: str) -> np.ndarray:
    """An array of an archive.

    Raises:
        ValueError: if it has Python objects, which only unpickling would read.
    """
    try:
        return archive[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(
            f"{path}: the array {key!r} has Python objects (dtype object), which are "
            f"not read; write the file again with {key}.astype(str) for words, or "
            f"{key}.astype(int) for numbers."
        ) from error


def _keys(word: str, split: str) -> tuple[str, ...]:
    return (f"{word}_{split}", f"{split}_{word}") if split else (word,)
