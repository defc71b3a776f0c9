"""A folder of sound files, with or without labels."""

import functools
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, LENGTH, Field
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.canvas import stack
from jax_ssl.data.files import classes_of, files_in, folder_of, known_of
from jax_ssl.data.images import open_file
from jax_ssl.data.source import Rows, Source, UnsetError

# Rates that files may have, and settings: filters that resample grow with them.
FASTEST = 1_000_000
LONGEST = 2**28  # Samples of an example, 1 GiB.
LOUDEST = 16.0  # Beyond are numbers of another scale, such as those of 16 bits.
EXTENSIONS = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")


@dataclass(frozen=True, eq=False)
class Sounds(Source):
    """Sound files under a root, or pieces of them; made by `sounds`."""

    root: str
    files: tuple[str, ...]  # Of each example, relative to the root.
    starts: tuple[int, ...]  # First sample of each, at the rate of the field.
    wave: Field
    labels: np.ndarray | None = None  # [N] int32

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self._where, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        return map(os.fsencode, self.files)

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            return known_of(self._path(row), self.starts[row])
        except (OSError, ValueError):
            return b""

    def _path(self, row: int) -> str:
        return os.path.join(self.root, self.files[row])

    def _where(self, row: int) -> str:
        start, rate = self.starts[row], self.wave.rate or 1
        return self._path(row) + (f", from {start / rate:g} s on" if start else "")

    def _example(self, row: int) -> dict[str, Any]:
        label = {} if self.labels is None else {"label": self.labels[row]}
        if self.fields.keys() <= {"index", "label"}:
            return label  # No file need be opened.
        with open_file(self._path(row)) as file:
            wave = decode(
                file,
                rate=int(self.wave.rate or 0),
                start=self.starts[row],
                samples=self.wave.shape[0],
            )
        return label | {"wave": wave, "length": np.int32(len(wave))}


def sounds(
    *,
    path: str,
    samples: int,
    rate: int | None = None,
    pieces: Literal["first", "all"] = "first",
    labels: Literal["none", "folders"] = "none",
    names: str = "",
    split: str = "",
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a folder of sounds of any length, at any depth.

    Files count by their extension (WAV, FLAC, Ogg, AIFF, MP3), in the order of their
    relative paths. What has several channels becomes their mean. What is shorter than
    `samples` is followed by zeros, and the field "length" says how much is sound.

    Args:
        path: the folder.
        samples: T, of an example; each takes 4 T bytes.
        rate: samples a second; files of another rate are resampled, by polyphase
            filtering, and cut to [-1, 1]. None for that of the first file.
        pieces: "first" for the first T samples of every file; "all" for an example of
            each T samples of it, the rest of a file of T or more being left out.
        labels: "none", or "folders" where the folders directly under the root are the
            classes, in alphabetical order.
        names: a text file that names those to read, one a line, by their paths or file
            names, with or without the extension; "" for all.
        split: sub-folder to read, "" for the folder itself.
        cache_gib: decoded sounds are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if there is no such folder, or no sound in it.
        ValueError: for a setting that cannot be, a name that no file has, a sound
            outside the class folders, or a missing package.
    """
    checks.one_of(("none", "folders"), labels=labels)
    checks.one_of(("first", "all"), pieces=pieces)
    checks.within(f"[1, {LONGEST}]", samples=samples)
    checks.within(f"[1, {FASTEST}]", rate=rate)
    root, name = folder_of(path, split)
    files = files_in(root, EXTENSIONS, "sound")
    soundfile()
    if names:
        files = _named(files, os.path.expanduser(names))
    rate = _first_rate(root, files) if rate is None else rate
    starts = [0] * len(files)
    if pieces == "all":
        counts = _lengths(root, files, rate)
        found = [
            (file, i * samples)
            for file, count in zip(files, counts, strict=True)
            for i in range(max(1, count // samples))
        ]
        files, starts = tuple(f for f, _ in found), [start for _, start in found]
    wave = Field("wave", (samples,), np.dtype("float32"), rate=float(rate))
    fields = {"wave": wave, "length": LENGTH, "index": INDEX}
    label = None
    if labels == "folders":
        label, fields["label"] = classes_of(files, root, "sound")
    source = Sounds(name, fields, len(files), root, files, tuple(starts), wave, label)
    return cached(source, cache_gib)


def soundfile() -> Any:
    """The package that reads sounds.

    Raises:
        ValueError: if it is not installed, naming what installs it.
    """
    try:
        import soundfile  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except (ImportError, OSError) as error:  # Or its library libsndfile is not there.
        raise ValueError(
            f"sounds are read by the package soundfile, which is not there ({error}); "
            "pip install 'jax_ssl[audio]'."
        ) from error
    return soundfile


def decode(file: BinaryIO, *, rate: int, start: int = 0, samples: int) -> np.ndarray:
    """Some samples of a sound file, at a rate, [n] float32 in [-1, 1].

    Args:
        file: of a kind that libsndfile reads.
        rate: samples a second.
        start: first sample, at this rate.
        samples: n, at most; fewer where the file ends.

    Raises:
        UnsetError: if it holds no sample from there on, or one that is no number.
        Exception: of any kind that the decoder raises, for a broken file.
    """
    with soundfile().SoundFile(file) as sound:
        own = sound.samplerate
        if own > FASTEST:
            raise UnsetError(f"it claims to have {own} samples a second")
        common = math.gcd(own, rate)
        up, down = rate // common, own // common
        # Only what the filter sees is read, from a sample on that both rates have.
        reach = 0 if own == rate else 10 * max(up, down) // up + 1
        first = max(0, start // up - reach // down - 1) if reach else start
        sound.seek(min(first * down, sound.frames))
        count = -(-(start + samples - first * up) * down // up) + reach
        wave = sound.read(count, dtype="float32", always_2d=True).mean(1)
    if not np.isfinite(wave).all():
        raise UnsetError("it holds samples that are no finite numbers")
    if len(wave) and (peak := np.abs(wave).max()) > LOUDEST:
        raise UnsetError(f"its samples reach {peak:g}, where 1 is full scale")
    if reach and len(wave):
        # Half a second; only where it is used.
        from scipy.signal import resample_poly  # type: ignore[import-untyped]

        skipped = start - first * up
        wave = resample_poly(wave, up, down)[skipped : skipped + samples]
    if not len(wave):
        raise UnsetError("it holds no sample")
    return np.clip(wave, -1, 1).astype(np.float32)


def _looked(root: str, name: str, look: Callable[[Any], Any]) -> Any:
    """What the header of a file says; None of one that is broken."""
    try:
        with (
            open_file(os.path.join(root, name)) as file,
            soundfile().SoundFile(file) as sound,
        ):
            return look(sound)
    except Exception:  # Decoders fail in every way on broken files.
        return None


def _first_rate(root: str, files: tuple[str, ...]) -> int:
    """The rate of the first file that can be read.

    Raises:
        ValueError: if there is none.
    """
    for name in files:
        if (rate := _looked(root, name, lambda sound: sound.samplerate)) is not None:
            return rate
    raise ValueError(f"not one of {len(files)} files under {root} is a sound.")


def _lengths(root: str, files: tuple[str, ...], rate: int) -> list[int]:
    """Samples of each file at a rate; 0 of a broken one, which its reader will say."""

    def count(sound: Any) -> int:
        return math.ceil(sound.frames * rate / sound.samplerate)

    with ThreadPoolExecutor(16) as pool:
        found = pool.map(functools.partial(_looked, root, look=count), files)
        return [count or 0 for count in found]


def _named(files: tuple[str, ...], path: str) -> tuple[str, ...]:
    """Those of the files that a text file names.

    Raises:
        ValueError: if there is no such text file, or it names another one.
    """
    try:
        with open(path, encoding="utf-8") as text:
            wanted = {line.strip() for line in text} - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data.names = {path!r} cannot be read: {error}.") from error
    kept, known = [], set[str]()
    for file in files:
        base = os.path.basename(file)
        bare = os.path.splitext(file)[0], os.path.splitext(base)[0]
        if own := wanted & {file, base, *bare}:
            kept.append(file)
            known |= own
    if unknown := sorted(wanted - known):
        raise ValueError(
            f"data.names = {path!r} names {unknown[0]!r} and {len(unknown) - 1} others "
            "that no file under data.path is called."
        )
    if not kept:
        raise ValueError(f"data.names = {path!r} names no file.")
    return tuple(kept)
