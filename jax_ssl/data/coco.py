"""Images with boxes in the layout of COCO: a JSON file and a folder of images."""

import functools
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, ON_CANVAS, Field
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.canvas import decode, shrink, sides_of, stack
from jax_ssl.data.files import known_of
from jax_ssl.data.images import open_file
from jax_ssl.data.source import Rows, Source, absent

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Coco(Source):
    """Images and their boxes; made by `coco`."""

    files: tuple[str, ...]  # Paths.
    boxes: Mapping[str, tuple[np.ndarray, ...]]  # By field, [n, 5] of each image.
    canvas: tuple[int, int]

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self.files.__getitem__, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        for i, file in enumerate(self.files):
            yield os.fsencode(os.path.basename(file))
            yield from (each[i].tobytes() for each in self.boxes.values())

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            return known_of(self.files[row], 0)
        except (OSError, ValueError):
            return b""

    def _example(self, row: int) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {n: b[row] for n, b in self.boxes.items()}
        with open_file(self.files[row]) as file:
            # The boxes are measured on the pixels as they are stored.
            found["image"], full = decode(file, canvas=self.canvas, upright=False)
        return shrink(found, {**self.fields, **_kinds(self.canvas)}, full, self.canvas)


def coco(
    *,
    path: str,
    images: str,
    canvas: int | tuple[int, int] = 640,
    max_boxes: int = 100,
    empty: bool = True,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a file like COCO's instances_val2017.json.

    An example has "image", "boxes" [n, 5] of its classes, and "crowds" [m, 5], regions
    of many things ("iscrowd"), which the protocol `detection` counts neither as missed
    nor as found. Classes are numbered by rising id of the category, from 0.

    Args:
        path: the JSON file.
        images: the folder of the images that it names.
        canvas: (height, width) of the frame that images lie on, in pixels, or the side
            of a square; COCO's longer side has 640.
        max_boxes: of an image; where there are more, the largest stay.
        empty: whether images without a box, crowds apart, are examples too. COCO's
            evaluation has them, training mostly not.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if there is no such file or folder, or images are not in it.
        ValueError: if the file is not of this layout, or holds no box.
    """
    checks.at_least(1, **{"data.max_boxes": max_boxes})
    frame = sides_of(canvas)
    path, folder = os.path.expanduser(path), os.path.expanduser(images)
    if not os.path.isfile(path):
        raise FileNotFoundError(absent("data.path", path, "file"))
    if not os.path.isdir(folder):
        raise FileNotFoundError(absent("data.images", folder, "folder"))
    names, files, boxes = _read(path)
    if not any(map(len, boxes["boxes"].values())):
        raise ValueError(f"data.path = {path!r} holds no box of an image.")
    wanted = [i for i in files if empty or len(boxes["boxes"][i])]
    places = tuple(os.path.join(folder, files[i]) for i in wanted)
    missing = [place for place in places if not os.path.isfile(place)]
    if missing:
        raise FileNotFoundError(
            f"data.images = {images!r} lacks {len(missing)} of {len(places)} images "
            f"that {path} names, such as {os.path.basename(missing[0])!r}."
        )
    largest = functools.partial(_largest, most=max_boxes)
    kept = {n: tuple(largest(found[i]) for i in wanted) for n, found in boxes.items()}
    cut = sum(len(boxes["boxes"][i]) > max_boxes for i in wanted)
    if cut:
        log.warning("%s: %d images have more than %d boxes", path, cut, max_boxes)
    shapes = {n: max(1, *map(len, found)) for n, found in kept.items()}
    fields = {**_kinds(frame), **ON_CANVAS, "index": INDEX}
    for name, most in shapes.items():
        fields[name] = Field("boxes", (most, 5), np.dtype("float32"), names=names)
    source = Coco(os.path.basename(path), fields, len(places), places, kept, frame)
    return cached(source, cache_gib)


def _kinds(frame: tuple[int, int]) -> dict[str, Field]:
    """What is shrunk to a canvas; the number of boxes is not read."""
    boxes = Field("boxes", (1, 5), np.dtype("float32"))
    image = Field("image", (*frame, 3), np.dtype("uint8"))
    return {"image": image, "boxes": boxes, "crowds": boxes}


def _read(
    path: str,
) -> tuple[tuple[str, ...], dict[Any, str], dict[str, dict[Any, np.ndarray]]]:
    """Names of the classes, files by id of the image, and boxes by field and id.

    Raises:
        ValueError: if the file is not of COCO's layout, naming what is missing.
    """
    try:
        with open(path, "rb") as file:
            told = json.load(file)
        kinds = sorted(told["categories"], key=lambda each: each["id"])
        for word in ("images", "categories"):
            _once(word, [each["id"] for each in told[word]])
        files = {each["id"]: str(each["file_name"]) for each in told["images"]}
        numbers = {each["id"]: i for i, each in enumerate(kinds)}
        names = tuple(str(each["name"]) for each in kinds)
        found: dict[str, dict[Any, list]] = {
            name: {i: [] for i in files} for name in ("boxes", "crowds")
        }
        for each in told["annotations"]:
            for key, known in (("image_id", files), ("category_id", numbers)):
                if each[key] not in known:
                    raise ValueError(f"an annotation has the {key} {each[key]!r}")
            x, y, width, height = map(float, each["bbox"])
            if not np.isfinite([x, y, width, height]).all():
                raise ValueError(f"an annotation has the bbox {each['bbox']}")
            row = numbers[each["category_id"]], x, y, x + width, y + height
            if width > 0 and height > 0:
                crowd = "crowds" if each.get("iscrowd") else "boxes"
                found[crowd][each["image_id"]].append(row)
    except (KeyError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"data.path = {path!r} is not like COCO's instances_*.json, with images, "
            f"categories and annotations with boxes ({said})."
        ) from error
    arrays = {
        name: {i: np.array(rows, np.float32).reshape(-1, 5) for i, rows in mine.items()}
        for name, mine in found.items()
    }
    return names, files, arrays


def _once(word: str, numbers: list[Any]) -> None:
    """Refuses an id that two images or categories have.

    Raises:
        ValueError: naming it.
    """
    number, count = (Counter(numbers).most_common(1) or [(None, 0)])[0]
    if count > 1:
        raise ValueError(f"{count} of {word} have the id {number!r}")


def _largest(boxes: np.ndarray, most: int) -> np.ndarray:
    """Of boxes [n, 5] the largest, in their order."""
    areas = np.prod(boxes[:, 3:] - boxes[:, 1:3], axis=-1)
    return boxes[np.sort(np.argsort(-areas, kind="stable")[:most])]
