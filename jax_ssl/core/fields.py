"""What the fields of an example are, and where they go when their picture is resampled.

Every field has a kind, and whatever treats fields differently reads the kind alone: the
canvas that a picture is shrunk to, a mirror image, a crop, a drawing in the report.

Pixels: the centre of the first one is (0, 0) for points, for the matrix of a camera and
for flow; pixel j covers [j - 1/2, j + 1/2). Boxes alone are measured from the picture's
edge, where pixel j covers [j, j + 1).
"""

from collections import UserDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import jax
import numpy as np
from jax.sharding import Sharding

from jax_ssl.core import checks
from jax_ssl.core.types import Array

Picture = Literal["image", "frames", "mask", "depth", "disparity", "distance", "flow"]
Placed = Literal["boxes", "matrix", "size", "scale"]  # On a picture.
Numbers = Literal["length", "label", "labels", "number", "index"]
Kind = Literal[Picture, Placed, "poses", "wave", Numbers]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Axes of an example's array, a digit where the length is fixed, and what it may hold.
_LAYOUT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "image": ("HWC", ("uint8", "float32")),
    "frames": ("THWC", ("uint8", "float32")),
    "mask": ("HW", ("uint8",)),
    "depth": ("HW", ("float32",)),
    "disparity": ("HW", ("float32",)),
    "distance": ("HW", ("float32",)),
    "flow": ("HW3", ("float32",)),
    "wave": ("T", ("float32",)),
    "length": ("", ("int32",)),
    "matrix": ("3M", ("float32",)),
    "poses": ("T34", ("float32",)),
    "boxes": ("N5", ("float32",)),
    "label": ("", ("int32",)),
    "labels": ("K", ("uint8",)),
    "number": ("", ("int32",)),
    "index": ("", ("int32",)),
    "size": ("2", ("int32",)),
    "scale": ("2", ("float32",)),
}
VOID = 255  # Of a mask: no class.
# What stands where an example does not fill its array; elsewhere it is 0.
FILL: Mapping[Kind, int] = {"mask": VOID, "boxes": -1}


def layout(kind: str) -> tuple[str, tuple[str, ...]]:
    """The axes of a kind, one letter or digit each, and the names of its dtypes.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind not in _LAYOUT:
        raise ValueError(f"kind = {kind!r} is not one of {', '.join(KINDS)}.")
    return _LAYOUT[kind]


@dataclass(frozen=True)
class Field:
    """One field of an example.

    Attributes:
        kind: what it is. image [H, W, C] and frames [T, H, W, C], uint8 in 0 ... 255 or
            float32 in [0, 1]; mask [H, W] uint8, a class or 255 for none; depth [H, W]
            float32 in metres and disparity [H, W] float32 in pixels, both 0 where
            unknown; distance [H, W] float32, how far away on the picture something is,
            in pixels; flow [H, W, 3] float32, u and v in pixels and 1 where known, else
            0; wave [T] float32 in [-1, 1]; length [] int32, how many samples of its
            array a wave fills; matrix [3, m] float32, from a camera's
            coordinates to pixels, such as intrinsics; poses [T, 3, 4] float32, (R | t)
            from the coordinates of the camera at each frame to those at the first, in
            metres; boxes [n, 5] float32, (class, x0, y0, x1, y1) in pixels, rows of -1
            where there is none; label [] int32;
            labels [K] uint8, 1 for each class that applies; number [] int32, what is
            no class, such as a frame's place in its film; index [] int32, the row;
            size [2] int32, the (height, width) that a picture fills of its canvas;
            scale [2] float32, (vertical, horizontal) pixels of the canvas to one of
            the file.
        shape: of one example's array.
        dtype: of it.
        names: the classes of label, labels, mask or boxes, in order; None without.
        rate: of a wave, samples per second.

    Raises:
        ValueError: if shape or dtype is not that of the kind.
    """

    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype
    names: tuple[str, ...] | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        axes, dtypes = layout(self.kind)
        fits = len(axes) == len(self.shape) and all(
            axis.isalpha() or int(axis) == side
            for axis, side in zip(axes, self.shape, strict=True)
        )
        if not fits or self.dtype.name not in dtypes:
            raise ValueError(
                f"a field of kind {self.kind!r} is [{', '.join(axes)}] of "
                f"{' or '.join(dtypes)}, not {self.shape} of {self.dtype}."
            )

    @property
    def rows_axis(self) -> int | None:
        """The axis of a picture's rows, its columns being the next; None without."""
        at = _LAYOUT[self.kind][0].find("H")
        return None if at < 0 else at

    @property
    def sides(self) -> tuple[int, int] | None:
        """(height, width) of the array where the kind is a picture, else None."""
        at = self.rows_axis
        return None if at is None else (self.shape[at], self.shape[at + 1])


Fields = Mapping[str, Field]

INDEX = Field("index", (), np.dtype("int32"))
LENGTH = Field("length", (), np.dtype("int32"))
# Those that every source with a canvas has beside its pictures.
ON_CANVAS: Fields = {
    "size": Field("size", (2,), np.dtype("int32")),
    "scale": Field("scale", (2,), np.dtype("float32")),
}


def spec_of(
    fields: Fields, rows: int | None = None, sharding: Sharding | None = None
) -> Mapping[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of one example, for tracing.

    Args:
        fields: of the example.
        rows: of a batch instead, examples along axis 0.
        sharding: of every array.
    """
    lead = () if rows is None else (rows,)
    return {
        name: jax.ShapeDtypeStruct(
            (*lead, *field.shape), field.dtype, sharding=sharding
        )
        for name, field in fields.items()
    }


def names_of(fields: Fields, name: str = "label") -> tuple[str, ...] | None:
    """The classes of a field, or None where it has no names or does not exist."""
    return fields[name].names if name in fields else None


def counted_classes(
    name: str, fields: Fields | None, num_classes: int | None, *, least: int = 2
) -> tuple[int, tuple[str, ...] | None]:
    """How many classes a field has, and their names.

    Args:
        name: of the field, of kind mask or boxes.
        fields: of the examples, if they are known.
        num_classes: what the setting of this name says; None for as many as the field
            has names.
        least: fewest that make sense.

    Raises:
        ValueError: if neither setting nor names say, if they differ, or if there are
            fewer.
    """
    names = names_of(fields or {}, name)
    count = num_classes if names is None else len(names)
    if count is None or num_classes not in (None, count):
        said = "no names" if names is None else f"{len(names)} names, {names}"
        void = ", 255 not counted" if name == "mask" else ""
        raise ValueError(
            f"num_classes = {num_classes}, and the classes of the field {name!r} have "
            f"{said}: set num_classes to their number{void}."
        )
    checks.at_least(least, num_classes=count)
    return count, names


def common_sides(fields: Fields) -> tuple[int, int] | None:
    """(height, width) of all pictures among the fields; None if there is none.

    Raises:
        ValueError: if they differ, for then no size or matrix belongs to all.
    """
    found = {name: field.sides for name, field in fields.items() if field.sides}
    if len(set(found.values())) > 1:
        raise ValueError(f"the pictures of an example differ in size: {found}.")
    return next(iter(found.values()), None)


class Window(NamedTuple):
    """The part of a picture that a resampled one shows, vertically and horizontally.

    Pixel i of a side is centred (i + 1/2) * step behind `start`, which is measured from
    the edge of the old picture in its pixels.

    Attributes:
        start: (vertical, horizontal), numbers or scalars that may be traced.
        step: old pixels to a new one, likewise.
        sides: (height, width) of the new picture.
    """

    start: tuple[Any, Any]
    step: tuple[Any, Any]
    sides: tuple[int, int]


def resampled(value: Any, field: Field, window: Window, xp: ModuleType) -> Any:
    """What a field becomes when its picture is resampled, every kind in its own way.

    The values of pictures are those of the nearest pixel, so nothing is averaged:
    callers that want an image antialiased do so themselves. Disparities, distances and
    flows are in the new pixels, boxes are moved and cut to the new picture, and those
    outside become rows of -1. A matrix leads to the new pixels; their centres are whole
    numbers, so that c_x becomes (c_x + 1/2 - start) / step - 1/2.

    Args:
        value: the field of one example.
        field: its description; the shape is not read.
        window: the part that is shown.
        xp: `numpy` on the host, `jax.numpy` in a view.

    Returns:
        Array of the field's dtype; images and frames keep that of `value`.
    """
    (top, left), (y, x), (height, width) = window
    if field.rows_axis is not None:
        for axis, (start, step, side) in enumerate(
            zip(*window, strict=True), field.rows_axis
        ):
            places = xp.floor(start + (xp.arange(side) + 0.5) * step).astype("int32")
            value = xp.take(value, places, axis=axis, mode="clip")
    if field.kind in ("disparity", "distance"):
        value = value / x
    elif field.kind == "flow":
        value = value / xp.stack([x, y, xp.ones_like(x)])
    elif field.kind == "matrix":
        rows = [
            value[i] / step + ((0.5 - start) / step - 0.5) * value[2]
            for i, (start, step) in enumerate(((left, x), (top, y)))
        ]
        value = xp.stack([*rows, value[2]])
    elif field.kind == "boxes":
        corners = (value[:, 1:] - xp.stack([left, top] * 2)) / xp.stack([x, y] * 2)
        corners = xp.clip(corners, 0, np.array([width, height] * 2))
        there = (value[:, 0] >= 0) & (corners[:, 2:] > corners[:, :2]).all(axis=1)
        moved = xp.concatenate([value[:, :1], corners], axis=1)
        value = xp.where(there[:, None], moved, FILL["boxes"])
    elif field.kind == "size":
        value = np.array(window.sides)
    elif field.kind == "scale":
        value = value / xp.stack([y, x])
    # The pixels may be floats by now, or stand in another dtype.
    smooth = field.kind in ("image", "frames")
    return value if smooth else xp.asarray(value).astype(field.dtype)


def read_by(view: Callable[[Array, Any], Any], fields: Fields) -> tuple[str, ...]:
    """The fields that a view function reads, found by tracing it.

    With them `Source.keep` spares the decoding of all the others.

    Args:
        view: (key, example) -> views.
        fields: of the examples.
    """
    read = set[str]()

    class Watched(UserDict):
        """An example that says which of its fields are looked at."""

        def __getitem__(self, name: str) -> Any:
            read.add(name)
            return self.data[name]

        def __contains__(self, name: object) -> bool:
            read.add(str(name))
            return name in self.data

    def trace(key: Array, arrays: Mapping[str, Array]) -> Any:
        return view(key, Watched(arrays))

    jax.eval_shape(trace, jax.random.key(0), spec_of(fields))
    return tuple(name for name in fields if name in read)
