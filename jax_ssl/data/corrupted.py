"""A source of images, corrupted while they are read; see `corruption_kinds`."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import Field
from jax_ssl.data.corruption_kinds import KINDS, SEVERITIES, SMALL, corrupt
from jax_ssl.data.corruptions import in_bytes, jpeg_compression
from jax_ssl.data.source import Rows, Source

STORED_QUALITY = 85  # Of ImageNet-C's own JPEGs.


@dataclass(frozen=True, eq=False)
class Corrupted(Source):
    """Squares cut out of another source's images, corrupted; made by `corrupted`."""

    source: Source
    kind: str | None
    severity: int
    size: int
    resize: int
    seed: int

    def keep(self, names: Iterable[str]) -> Source:
        """The same rows with these fields alone."""
        wanted = {*names, "index"}
        if unknown := sorted(wanted - set(self.fields)):
            raise ValueError(f"{self.name} has no field {unknown[0]!r}.")
        inner = set(wanted)
        if "image" in wanted:
            inner |= {"size"} & set(self.source.fields)
        fields = {name: self.fields[name] for name in self.fields if name in wanted}
        # A source that keeps what it has decoded forgets it where it is kept anew.
        same = inner == set(self.source.fields)
        source = self.source if same else self.source.keep(inner)
        return replace(self, fields=fields, source=source)

    def listed(self) -> Iterable[bytes | memoryview]:  # noqa: D102
        yield from self.source.listed()
        yield f"{self.kind} {self.severity} {self.size} {self.seed}".encode()

    def stored(self, row: int) -> bytes | memoryview:  # noqa: D102
        return self.source.stored(row)

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        found = self.source[rows]
        sizes = found.pop("size", None)
        if "image" in found:
            full = found["image"]
            images = [
                self._one(
                    image if sizes is None else image[: sizes[i][0], : sizes[i][1]],
                    int(rows[i]),
                )
                for i, image in enumerate(full)
            ]
            found["image"] = np.stack(images) if images else full[:0]
        return {name: found[name] for name in self.fields if name != "index"}

    def _one(self, image: np.ndarray, row: int) -> np.ndarray:
        image = cut(image, self.size, self.resize)
        if self.kind is None:
            return image
        # The same for an image whatever is read before it, and on every machine.
        word = zlib.crc32(self.kind.encode())
        rng = np.random.default_rng([self.seed, word, self.severity, row])
        image = corrupt(image, self.kind, self.severity, rng)
        if self.size < SMALL:
            return image
        return in_bytes(jpeg_compression(image / 255, STORED_QUALITY, rng))


def corrupted(
    source: Source,
    kind: str | None,
    severity: int = 1,
    *,
    size: int,
    resize: int,
    seed: int = 0,
) -> Source:
    """The middles of a source's images, each corrupted in the same way every time.

    The cut comes first, as in ImageNet-C; and as there, images of 96 pixels a side and
    more are written as JPEGs of quality 85 in the end.

    Args:
        source: of RGB images in uint8; its other fields but "scale" stay.
        kind: of `corruption_kinds.KINDS`; None only cuts.
        severity: 1 to 5.
        size: side of the square that is cut, in pixels.
        resize: what the shorter side is resized to before.
        seed: of all that is random.

    Raises:
        ValueError: for an unknown kind or severity, or images of another form.
    """
    if kind is not None:
        checks.one_of(tuple(KINDS), kind=kind)
    checks.one_of(SEVERITIES, severity=severity)
    checks.rising(size=size, resize=resize)
    image = source.fields.get("image")
    if image is None or image.dtype != np.uint8 or image.shape[-1] != 3:
        raise ValueError(f"{source.name} has no RGB images of 8 bits to corrupt.")
    kept = {n: f for n, f in source.fields.items() if n not in ("size", "scale")}
    fields = {**kept, "image": Field("image", (size, size, 3), np.dtype("uint8"))}
    words = "" if kind is None else f", {kind} {severity}"
    name = f"{source.name}{words}"
    return Corrupted(
        name, fields, len(source), source, kind, severity, size, resize, seed
    )


def cut(image: np.ndarray, size: int, resize: int) -> np.ndarray:
    """The middle square [size, size, 3] of an image, its shorter side resized before.

    Sides are rounded as torchvision's Resize and CenterCrop do.
    """
    from PIL import Image

    height, width = image.shape[:2]
    shorter = min(height, width)
    sides = (width * resize // shorter, height * resize // shorter)
    if sides != (width, height):
        filtered = Image.Resampling.BILINEAR
        image = np.asarray(Image.fromarray(image).resize(sides, filtered))
    top, left = (round((side - size) / 2) for side in image.shape[:2])
    return image[top : top + size, left : left + size]
