"""The features of a TFDS data set as fields: their kinds, and their values.

A feature of TFDS says more than an array, so most have an obvious kind. Numbers that
only a person can tell apart, such as a depth and a disparity, must be named.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jax_ssl.core.fields import Field, Kind, layout
from jax_ssl.data.bands import Sides
from jax_ssl.data.canvas import decode, stored_values
from jax_ssl.data.ranges import ADVICE, Range

# Kinds whose first axis may be of any length in TFDS, and is of one length here.
LONG = ("frames", "poses", "wave", "boxes")


@dataclass(frozen=True)
class Column:
    """A feature that is read as a field.

    Attributes:
        key: its name in TFDS.
        feature: a `tfds.features.FeatureConnector`.
        field: what it becomes.
        range: what is black and white, see `ranges.Range`.
    """

    key: str
    feature: Any
    field: Field
    range: Range | None = None

    def value(self, stored: Any, canvas: Sides | None) -> tuple[np.ndarray, Sides]:
        """The field of one example, and the size of its picture in the file.

        Args:
            stored: what TFDS gives for the feature; the file of an image.
            canvas: (H, W) that images are shrunk into while they are decoded; other
                pictures keep their size.

        Returns:
            The array, longer than the field at no axis but a picture's, and (height,
            width), (0, 0) where it is no picture. Boxes are in shares of its sides.

        Raises:
            ValueError: if a mask holds a class above 255.
        """
        field, kind = self.field, self.field.kind
        if kind == "image":
            # Not turned by its EXIF tag: TFDS does not turn it either.
            return decode(
                stored,
                canvas=canvas,
                channels=field.shape[-1],
                upright=False,
                range=self.range,
                max_megapixels=math.inf,  # What has been prepared has been read before.
            )
        if kind == "labels":
            value: Any = np.zeros(field.shape)
            value[np.asarray(stored, int)] = 1
        elif kind == "boxes":
            value = _boxes(self.feature, stored)
        else:
            encoded = isinstance(stored, bytes)
            value = stored_values(stored) if encoded else np.asarray(stored)
            if kind in ("mask", "depth", "disparity", "distance") and value.ndim == 3:
                if self.feature.np_dtype == np.float32 and encoded:
                    value = value.view(np.float32)  # TFDS keeps a float as four bytes.
                value = value[..., 0]
        if kind == "flow" and value.shape[-1] == 2:
            known = np.isfinite(value).all(-1, keepdims=True)
            value = np.concatenate([np.where(known, value, 0), known], -1)
        if kind == "wave" and value.dtype.kind in "iu":
            value = value / 32768  # 16-bit samples.
        if kind in LONG:
            value = value[: field.shape[0]]
        if kind == "mask" and value.max() > 255:
            raise ValueError(f"class {value.max()} of {self.key} is above 255")
        at = field.rows_axis
        size = (0, 0) if at is None else value.shape[at : at + 2]
        return value.astype(field.dtype), size


class Boxes(NamedTuple):
    """Where boxes and their classes are in a feature; "" for the feature itself."""

    corners: str
    label: str | None
    names: Sequence[str]  # Of the classes, if they have any.


def obvious_kind(feature: Any) -> Kind | None:
    """What a feature is by its type and shape; None where these do not say it."""
    from tensorflow_datasets import features

    by_type: dict[type, tuple[Kind, Kind | None]] = {
        features.LabeledImage: ("mask", None),
        features.Image: ("image", "frames"),
        features.ClassLabel: ("label", "labels"),
        features.Audio: ("wave", None),
    }
    element = getattr(feature, "feature", None)  # Of a sequence.
    for type_, (one, several) in by_type.items():
        if isinstance(feature, type_):
            return one
        if isinstance(element, type_):
            return several
    if boxes_of(feature) is not None:
        return "boxes"
    camera = feature.shape in ((3, 3), (3, 4)) and feature.np_dtype == np.float32
    return "matrix" if camera else None


def boxes_of(feature: Any) -> Boxes | None:
    """The boxes in a feature: one, a sequence, or a sequence of boxes with classes."""
    from tensorflow_datasets import features

    inner = getattr(feature, "feature", feature)  # Of a sequence its element.
    parts = inner if isinstance(inner, features.FeaturesDict) else {"": inner}
    corners = [k for k, part in parts.items() if isinstance(part, features.BBoxFeature)]
    labels = [k for k, part in parts.items() if isinstance(part, features.ClassLabel)]
    if len(corners) != 1 or "REL_YXYX" not in str(parts[corners[0]].bbox_format):
        return None
    label = labels[0] if len(labels) == 1 else None
    return Boxes(corners[0], label, () if label is None else parts[label].names)


def described(
    key: str,
    feature: Any,
    kind: Kind,
    *,
    canvas: Sides | None,
    length: int | None,
    range: Range | None = None,
) -> Column:
    """A feature as a field of one shape.

    Args:
        key: name of the feature.
        feature: of any type.
        kind: what it is.
        canvas: (H, W) of pictures; their own size if None.
        length: of the first axis of a kind in `LONG`; its own if None.
        range: what is black and white in images; with it, they may be uint16.

    Raises:
        ValueError: if its shape is open, naming the setting that says it, or the
            feature cannot be of this kind.
    """
    axes, dtypes = layout(kind)
    names = getattr(feature, "names", None)
    rate = getattr(feature, "sample_rate", None) if kind == "wave" else None
    shape: list[Any] = [*feature.shape]
    if (at := axes.find("H")) >= 0:
        if len(shape) not in (len(axes), at + 3):  # One channel may have an axis.
            raise ValueError(f"{key}: {feature} cannot be of kind {kind!r}.")
        stored = np.dtype(feature.np_dtype).name
        deep = kind == "image" and stored == "uint16"
        if kind in ("image", "frames") and stored != "uint8" and not (deep and range):
            remedy = f" by themselves: {ADVICE}" if deep else "; only uint8 can"
            raise ValueError(f"{key}: {kind} of {stored} cannot be read{remedy}.")
        channels = {"image": shape[-1:], "frames": shape[-1:], "flow": [3]}
        last = [side or 3 for side in channels.get(kind, [])]
        shape = [*shape[:at], *(canvas or shape[at : at + 2]), *last]
    elif kind == "labels":
        shape = [feature.num_classes]
    elif kind == "boxes":
        boxes = boxes_of(feature)
        if boxes is None:
            raise ValueError(f"{key}: {feature} holds no boxes (REL_YXYX) of one kind.")
        names = boxes.names
        corners = feature.shape[boxes.corners] if boxes.corners else feature.shape
        shape = [corners[0] if len(corners) > 1 else 1, 5]
    if kind in LONG and length is not None:
        shape[0] = length
    if None in shape:
        setting = (
            f"data.lengths = {{{key!r}: ...}}, to how many they are cut or padded"
            if kind in LONG and shape[0] is None
            else "data.canvas to the side of the square that they are shrunk into, for "
            "example 512"
        )
        raise ValueError(f"{key!r} ({kind}) is stored in any size; set {setting}.")
    names = tuple(names or ()) or None
    field = Field(kind, tuple(shape), np.dtype(dtypes[0]), names, rate)
    return Column(key, feature, field, range)


def _boxes(feature: Any, stored: Any) -> np.ndarray:
    """Rows (class, x0, y0, x1, y1) of what TFDS has decoded, in shares of the sides."""
    boxes = boxes_of(feature)
    assert boxes is not None
    parts: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {"": stored}
    top, left, bottom, right = np.reshape(parts[boxes.corners], (-1, 4)).T
    label = np.zeros_like(top) if boxes.label is None else parts[boxes.label]
    return np.stack([label, left, top, right, bottom], -1)
