"""DAVIS 2017, films with the masks of their objects, in the folders that it unpacks to.

Pont-Tuset et al., 2017, arXiv:1704.00675.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, ON_CANVAS, Field
from jax_ssl.data.bands import Sides
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.canvas import decode, shrink, sides_of, stack, stored_values
from jax_ssl.data.files import known_of
from jax_ssl.data.films import images_in
from jax_ssl.data.images import open_file, opened
from jax_ssl.data.source import Rows, Source, absent

SPLITS = ("train", "val", "test-dev", "test-challenge")
MASKED = SPLITS[:2]  # Whose frames all have masks.


class Frame(NamedTuple):
    """One row: paths of its files, and its place."""

    image: str
    mask: str
    sequence: int
    frame: int


@dataclass(frozen=True, eq=False)
class Davis(Source):
    """Frames under a root; made by `davis`."""

    root: str
    frames: tuple[Frame, ...]
    canvas: Sides
    channels: int

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        where = lambda row: self.frames[row].image
        return stack(rows, self._example, where, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        for frame in self.frames:
            yield os.path.relpath(frame.image, self.root).encode()

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            return known_of(self.frames[row].image, 0)
        except (OSError, ValueError):
            return b""

    def _example(self, row: int) -> dict[str, np.ndarray]:
        frame = self.frames[row]
        places = {"sequence": frame.sequence, "frame": frame.frame}
        example = {k: np.array(number, np.int32) for k, number in places.items()}
        with open_file(frame.image) as file:
            full = opened(file).size
            if "image" in self.fields:
                file.seek(0)
                example["image"], full = decode(
                    file, canvas=self.canvas, channels=self.channels, upright=False
                )
        if "mask" in self.fields:
            with open_file(frame.mask) as file:
                example["mask"] = stored_values(file.read())
        kept = {name: x for name, x in example.items() if name in self.fields}
        return shrink(kept, self.fields, full, self.canvas)


def davis(
    *,
    path: str,
    split: Literal["train", "val", "test-dev", "test-challenge"] = "val",
    resolution: Literal["480p", "Full-Resolution"] = "480p",
    films: tuple[str, ...] = (),
    canvas: int | tuple[int, int] | None = None,
    channels: int = 3,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source of the frames of DAVIS 2017, each an example of its own.

    Args:
        path: the folder that holds JPEGImages/, Annotations/ and ImageSets/2017/, as
            the archives unpack: DAVIS.
        split: by the list ImageSets/2017/SPLIT.txt.
        resolution: sub-folder of JPEGImages/ and Annotations/.
        films: such as ("bike-packing",); () for all of the list.
        canvas: (height, width) that larger frames are shrunk to; None for the largest
            there are.
        channels: 3, or 1 for grey.
        cache_gib: decoded rows are kept in memory where all of them fit in this.

    Returns:
        Source of "image", "sequence" (the film's line in the list, from 0), "frame"
        (from 0) and, for train and val, "mask" [H, W] uint8: 0 for no object, else its
        number in the film.

    Raises:
        FileNotFoundError: if a folder, the list, or a film's frames are not there.
        ValueError: for a film that is not in the list, or one whose masks are not as
            many as its frames, or have other names.
    """
    checks.one_of(SPLITS, split=split)
    checks.one_of((1, 3), channels=channels)
    path = os.path.expanduser(path)
    if not os.path.isdir(path):
        raise FileNotFoundError(absent("data.path", path, "folder"))
    listing = os.path.join(path, "ImageSets", "2017", f"{split}.txt")
    if not os.path.isfile(listing):
        raise FileNotFoundError(
            f"{listing} is not there, which names the films of data.split = {split!r}; "
            "data.path must be the folder DAVIS, as the archives of 2017 unpack."
        )
    with open(listing) as file:
        names = file.read().split()
    if unknown := sorted(set(films) - set(names)):
        raise ValueError(f"films: {unknown[0]!r} is not in {listing}: {names}.")
    frames = [
        frame
        for number, name in enumerate(names)
        if not films or name in films
        for frame in _frames(path, resolution, name, number, masked=split in MASKED)
    ]
    if canvas is None:
        firsts = [frame.image for frame in frames if frame.frame == 0]
        sizes = [_size(file) for file in firsts]
        canvas = max(h for h, _ in sizes), max(w for _, w in sizes)
    sides = sides_of(canvas)
    number = Field("number", (), np.dtype("int32"))
    fields = {
        "image": Field("image", (*sides, channels), np.dtype("uint8")),
        "mask": Field("mask", sides, np.dtype("uint8")),
        "sequence": number,
        "frame": number,
        **ON_CANVAS,
        "index": INDEX,
    }
    if split not in MASKED:
        del fields["mask"]
    source = Davis(
        f"davis {split}",
        fields,
        len(frames),
        root=path,
        frames=tuple(frames),
        canvas=sides,
        channels=channels,
    )
    return cached(source, cache_gib)


def _frames(
    path: str, resolution: str, name: str, number: int, *, masked: bool
) -> list[Frame]:
    """The frames of one film."""
    folders = [
        os.path.join(path, kind, resolution, name)
        for kind in ("JPEGImages", "Annotations")
    ]
    for folder in folders[: 1 + masked]:
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"{folder} is not there; unpack DAVIS-2017-trainval-{resolution}.zip "
                "into the same folder, or name other films in data.films."
            )
    images = images_in(folders[0])
    masks = images_in(folders[1]) if masked else images
    if len(images) != len(masks) or not images:
        raise ValueError(
            f"{folders[0]} has {len(images)} frames and {folders[1]} {len(masks)} "
            "masks; each frame needs one: unpack the archive again."
        )
    if masked:
        for image, mask in zip(images, masks, strict=True):
            own, other = (os.path.basename(p) for p in (image, mask))
            if os.path.splitext(own)[0] != os.path.splitext(other)[0]:
                raise ValueError(
                    f"{folders[0]} has the frame {own}, and in its place "
                    f"{folders[1]} has the mask {other}; frame and mask must have one "
                    "name: unpack the archive again."
                )
    pairs = zip(images, masks, strict=True)
    return [Frame(image, mask, number, i) for i, (image, mask) in enumerate(pairs)]


def _size(path: str) -> Sides:
    with open_file(path) as file:
        return opened(file).size
