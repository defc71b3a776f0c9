"""Images in tar files, in the layout of WebDataset, read at any place."""

import io
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import Field
from jax_ssl.core.telling import telling
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.folder import EXTENSIONS
from jax_ssl.data.images import MAX_MEGAPIXELS
from jax_ssl.data.pictures import Pictures, decoding, looked_at
from jax_ssl.data.places import mark_of, part_of, remote
from jax_ssl.data.source import Source
from jax_ssl.data.tars import Member, members_of, samples_of, shards_of

SUFFIXES = tuple(extension.removeprefix(".") for extension in EXTENSIONS)
_INT32 = np.iinfo(np.int32)

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TarShards(Pictures):
    """Images in tar files; made by `tar_shards`."""

    shards: tuple[str, ...] = field(kw_only=True)
    # Of each shard, size and time of the last change when it was scanned.
    marks: tuple[tuple[int, int], ...] = field(kw_only=True)
    shard: np.ndarray = field(kw_only=True)  # [N] int32, of the shards.
    spans: np.ndarray = field(kw_only=True)  # [N, 2] int64, offset and size.
    members: tuple[str, ...] = field(kw_only=True)  # Names of the images.

    def file(self, row: int) -> BinaryIO:  # noqa: D102
        shard = int(self.shard[row])
        offset, size = self.spans[row].tolist()
        path = self.shards[shard]
        # A bucket is not asked again for every image.
        if not remote(path) and mark_of(path) != self.marks[shard]:
            raise OSError("the shard has changed since it was scanned; start again")
        if not size:
            raise ValueError("the member is empty")
        # Opened anew: there may be more shards than a process may keep open.
        return io.BytesIO(part_of(path, offset, size))

    def where(self, row: int) -> str:  # noqa: D102
        return f"{self.shards[self.shard[row]]}, {self.members[row]}"

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        yield from map(os.fsencode, self.members)
        if self.labels is not None:
            yield self.labels.astype("<i4").tobytes()


def tar_shards(
    *,
    path: str,
    canvas: int | tuple[int, int] = 512,
    channels: int | tuple[int, ...] = 3,
    range: tuple[float | str, float | str] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    labels: Literal["none", "cls", "txt", "json"] = "none",
    label_key: str = "label",
    image_key: str = "",
    split: str = "",
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from images in tar files, as WebDataset lays them out.

    Members whose paths are the same up to the first dot of the file name are a sample:
    cat/01.jpg and cat/01.cls. Nothing is unpacked: a first scan finds where each member
    lies, is kept in the user's cache folder until the shard changes, and then any row
    is read at its place. Samples without an image are left out, and counted in the log.

    Args:
        path: a tar file, a folder of them, or a pattern such as
            data/train-{0000..0146}.tar, data/{a,b}-*.tar or data/{split}-*.tar. It may
            begin with gs:// or be another address, as for a folder; the first scan of a
            bucket reads all of it.
        canvas: (height, width) of the frame that images lie on, in pixels, or the side
            of a square, as for a folder; an image takes the bytes of the frame.
        channels: 3 for RGB, 1 for grey; another number for all bands of files that have
            so many, or several numbers for these bands, counted from 0.
        range: the numbers of the files that are black and white, such as (0, 4095) for
            12 bits in 16, or percentiles of each image, such as ("0.1%", "99.9%"). None
            for all that integers of 8 or 16 bits can say.
        max_megapixels: that may be decoded at once, 4 MB each in every thread.
        labels: "none", or the suffix of the members that are labels: "cls", "txt" or
            "json". Whole numbers are classes without names; if one is not, all are
            names of classes, which are numbered in alphabetical order.
        label_key: of a JSON member, the name whose value is the label.
        image_key: suffix of the images, such as "jpg" or "left.png"; "" for the one
            member of each sample that has a suffix of images alone.
        split: the word in the place of {split} in the path; in a folder its sub-folder,
            or without one the beginning of the names. "" for all.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if no shard is there, one of a range is missing, or there is
            no image in them.
        ValueError: for a setting that cannot be, a shard that is damaged or compressed,
            a sample with several images or without a label that can be read, or an
            image that is whole but not read by these settings.
    """
    checks.one_of(("none", "cls", "txt", "json"), labels=labels)
    settings = decoding(canvas, channels, range, max_megapixels)
    shards = shards_of(path, split)
    key = label_key if labels == "json" else ""
    text, scans = "looking where the images lie in the shards", list[list[Member]]()
    with (
        ThreadPoolExecutor(16) as pool,
        telling(text, len(shards), only_if_long=True) as advance,
    ):
        marks = tuple(pool.map(mark_of, shards))
        for scan in pool.map(lambda shard: members_of(shard, labels, key), shards):
            scans.append(scan)
            advance(1)
    wanted = image_key.lower().removeprefix(".")
    images, said, shard = list[Member](), list[int | str](), list[int]()
    without = list[str]()
    for number, (name, members) in enumerate(zip(shards, scans, strict=True)):
        for word, sample in samples_of(name, members).items():
            image = _image_of(sample, wanted, f"{name}, {word}")
            if image is None:
                without.append(f"{word} in {name}")
                continue
            if labels != "none":
                said.append(_label_of(sample, labels, f"{name}, {word}"))
            images.append(image)
            shard.append(number)
    if not images:
        there = sorted({member.suffix for members in scans for member in members})
        looked = f"ends in .{wanted} (data.image_key)" if wanted else "is an image"
        raise FileNotFoundError(
            f"data.path = {path!r}: no member of its {len(shards)} shards {looked}; "
            f"their members end in {there[:20] or 'nothing'}."
        )
    fields = dict(settings.fields)
    label = None
    if said:
        label, names = _numbered(said, images, [shards[i] for i in shard])
        fields["label"] = Field("label", (), label.dtype, names)
    name = _title(path, shards, split)
    if without:
        log.warning(
            "%s: left out %d samples without an image, such as %s",
            name,
            len(without),
            without[0],
        )
    source = TarShards(
        name,
        fields,
        len(images),
        settings,
        label,
        shards=shards,
        marks=marks,
        shard=np.array(shard, np.int32),
        spans=np.array([(image.offset, image.size) for image in images], np.int64),
        members=tuple(f"{image.key}.{image.suffix}" for image in images),
    )
    looked_at(source, settings.check)
    return cached(source, cache_gib)


def _image_of(sample: dict[str, Member], wanted: str, where: str) -> Member | None:
    """The image of a sample; None without one.

    Raises:
        ValueError: if there are several, and none is asked for.
    """
    if wanted:
        return sample.get(wanted)
    found = [suffix for suffix in sample if suffix in SUFFIXES]
    if len(found) > 1:
        raise ValueError(
            f"{where} has several images, {', '.join(found)}; set data.image_key to "
            "the suffix of those to read."
        )
    return sample[found[0]] if found else None


def _label_of(sample: dict[str, Member], labels: str, where: str) -> int | str:
    """What a sample's member of that suffix says.

    Raises:
        ValueError: if it has none.
    """
    member = sample.get(labels)
    if member is None or member.said is None:
        raise ValueError(
            f"{where} has no member .{labels}, but {', '.join(sample)}; set "
            "data.labels to the suffix of the labels, or to 'none'."
        )
    return member.said


def _numbered(
    said: Sequence[int | str], images: Sequence[Member], shards: Sequence[str]
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Labels [N] int32, and the names of the classes where they are words.

    Raises:
        ValueError: for a number that is none of a class.
    """
    try:
        numbers = [int(word) for word in said]
    except ValueError:
        names, indices = np.unique([str(word) for word in said], return_inverse=True)
        return indices.astype(np.int32), tuple(names.tolist())
    for number, image, shard in zip(numbers, images, shards, strict=True):
        if not -1 <= number <= _INT32.max:
            raise ValueError(
                f"{shard}, {image.key}: the label {number} is no class; they count "
                "from 0, and -1 stands for none."
            )
    return np.array(numbers, np.int32), None


def _title(path: str, shards: Sequence[str], split: str) -> str:
    place = os.path.basename(os.path.abspath(path.rpartition("://")[2]))
    if len(shards) == 1:
        return os.path.basename(shards[0])
    named = split and "{split}" not in place
    return place.replace("{split}", split) + (f" {split}" if named else "")
