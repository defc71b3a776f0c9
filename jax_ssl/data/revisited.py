"""Revisited Oxford and Paris: photographs of buildings, and queries cut out of some.

Radenović et al., 2018, arXiv:1803.11285. The folder is as the authors publish it: the
photographs in jpg/ and the ground truth, a pickle named gnd_roxford5k.pkl or
gnd_rparis6k.pkl.
"""

import json
import os
import pathlib
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, ON_CANVAS, Field
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.canvas import decode, shrink, sides_of, stack
from jax_ssl.data.files import files_in, known_of
from jax_ssl.data.images import open_file
from jax_ssl.data.source import Rows, Source, absent

PHOTOGRAPHS = "jpg"
SUFFIX = ".jpg"
# All that the published pickles are made of, by the names of Python 2 and 3 and NumPy 1
# and 2: a pickle may name any function, and unpickling would call it.
ALLOWED = {
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
    *((builtins, "bytes") for builtins in ("builtins", "__builtin__")),
}


class _Plain(pickle.Unpickler):
    """Reads dictionaries, lists, numbers, words and arrays, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")
        return super().find_class(module, name)


@dataclass(frozen=True)
class Query:
    """What is right for one query, by number of the photograph in the data base.

    Attributes:
        name: of the photograph, without its suffix.
        box: (left, top, right, bottom) of the building, in pixels.
        easy: [e] int64, photographs that show the building clearly.
        hard: [h] int64, on which it is hard to see.
        junk: [j] int64, neither right nor wrong.
    """

    name: str
    box: tuple[float, float, float, float]
    easy: np.ndarray
    hard: np.ndarray
    junk: np.ndarray


@dataclass(frozen=True)
class GroundTruth:
    """The photographs of the data base, by name without suffix, and the queries."""

    images: tuple[str, ...]
    queries: tuple[Query, ...]


def ground_truth(path: str) -> GroundTruth:
    """Reads a ground truth as it is published, or the same content as JSON.

    Args:
        path: of the pickle, or of a .json file with "imlist", "qimlist" and "gnd"; or
            of the folder that holds one of the names gnd_*.pkl.

    Raises:
        FileNotFoundError: if there is none, or no single one.
        ValueError: if it is of another form, or names something that is no data.
    """
    place = pathlib.Path(path).expanduser()
    if place.is_dir():
        found = sorted([*place.glob("gnd_*.pkl"), *place.glob("gnd_*.json")])
        if len(found) != 1:
            raise FileNotFoundError(
                f"{place} holds {len(found)} files gnd_*.pkl or .json, not one; the "
                "ground truth of revisited Oxford is gnd_roxford5k.pkl, that of Paris "
                "gnd_rparis6k.pkl, both from http://cmp.felk.cvut.cz/revisitop."
            )
        (place,) = found
    if not place.is_file():
        raise FileNotFoundError(absent("ground_truth", str(place), "file"))
    try:
        with place.open("rb") as file:
            if place.suffix == ".json":
                content = json.load(file)
            else:
                content = _Plain(file, encoding="latin1").load()
        return _truth(content)
    except OSError:
        raise
    except Exception as error:  # A broken pickle fails in every way.
        raise ValueError(
            f"{place} is no ground truth of revisited Oxford or Paris: {error}."
        ) from error


def _truth(content: Mapping[str, Any]) -> GroundTruth:
    images = tuple(map(str, content["imlist"]))
    names, truths = content["qimlist"], content["gnd"]
    if len(names) != len(truths):
        raise ValueError(f"{len(names)} queries have {len(truths)} truths")
    queries = []
    for name, truth in zip(names, truths, strict=True):
        lists = {}
        for word in ("easy", "hard", "junk"):
            lists[word] = np.asarray(truth[word], np.int64).ravel()
            if outside := [i for i in lists[word].tolist() if not 0 <= i < len(images)]:
                raise ValueError(
                    f"query {name} has {word} photograph {outside[0]}, of {len(images)}"
                )
        numbers, counts = np.unique(
            np.concatenate(list(lists.values())), return_counts=True
        )
        if (twice := numbers[counts > 1]).size:
            raise ValueError(
                f"query {name} has photograph {twice[0]} twice in easy, hard and junk"
            )
        left, top, right, bottom = (float(x) for x in np.ravel(truth["bbx"]))
        if not (left < right and top < bottom):
            raise ValueError(f"query {name} has the empty box {truth['bbx']}")
        queries.append(Query(str(name), (left, top, right, bottom), **lists))
    return GroundTruth(images, tuple(queries))


@dataclass(frozen=True, eq=False)
class Buildings(Source):
    """Photographs, whole or cut to their box; made by `revisited`."""

    paths: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...] | None
    canvas: tuple[int, int]

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self._where, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        for row, path in enumerate(self.paths):
            box = "" if self.boxes is None else str(self.boxes[row])
            yield f"{os.path.basename(path)} {box}".encode()

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            return known_of(self.paths[row], 0)
        except OSError:
            return b""

    def _where(self, row: int) -> str:
        return self.paths[row]

    def _example(self, row: int) -> dict[str, np.ndarray]:
        whole = self.boxes is not None
        with open_file(self.paths[row]) as file:
            # The boxes are of the file as it is stored.
            pixels, full = decode(
                file, canvas=None if whole else self.canvas, upright=False
            )
        if self.boxes is not None:
            left, top, right, bottom = (round(edge) for edge in self.boxes[row])
            pixels = pixels[max(top, 0) : bottom, max(left, 0) : right]
            full = pixels.shape[:2]
            if 0 in full:
                raise ValueError(f"the box {self.boxes[row]} is outside of it")
        return shrink({"image": pixels}, self.fields_of_image, full, self.canvas)

    @property
    def fields_of_image(self) -> dict[str, Field]:
        """The field of the picture, also where it is not kept."""
        return {"image": Field("image", (*self.canvas, 3), np.dtype("uint8"))}


def revisited(
    *,
    path: str,
    split: Literal["database", "queries"],
    canvas: int | tuple[int, int] = 512,
    ground_truth: str = "",
    distractors: str = "",
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source of the photographs of revisited Oxford or Paris.

    Args:
        path: the folder that holds gnd_roxford5k.pkl or gnd_rparis6k.pkl, and jpg/.
        split: "database", or "queries", which are cut to the box of their building.
        canvas: (height, width) of the frame that pictures lie on, or the side of a
            square; larger ones are shrunk until they fit.
        ground_truth: the file, where it is not in the folder.
        distractors: a folder of photographs, at any depth, that follow those of the
            data base in the order of their paths and are right for no query, such as
            the authors' million; "" for none. Queries are the same with them.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Returns:
        A source whose rows are in the order of the ground truth.

    Raises:
        FileNotFoundError: if the ground truth or photographs are not there, naming the
            first.
        ValueError: if the ground truth cannot be read.
    """
    checks.one_of(("database", "queries"), split=split)
    truth = _read(ground_truth or path)
    own = [query.name for query in truth.queries]
    names = truth.images if split == "database" else own
    root = os.path.join(os.path.expanduser(path), PHOTOGRAPHS)
    paths = tuple(os.path.join(root, name + SUFFIX) for name in names)
    if missing := [each for each in paths if not os.path.isfile(each)]:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} photographs are not there, such as "
            f"{missing[0]}; unpack the authors' archives so that all lie in {root}."
        )
    name = f"{os.path.basename(os.path.abspath(os.path.expanduser(path)))} {split}"
    if distractors and split == "database":
        more = os.path.expanduser(distractors)
        own_files = files_in(more, (SUFFIX,), "photograph")
        paths += tuple(os.path.join(more, each) for each in own_files)
        name += f" + {len(own_files)} distractors"
    frame = sides_of(canvas)
    boxes = tuple(query.box for query in truth.queries) if split == "queries" else None
    fields = {
        "image": Field("image", (*frame, 3), np.dtype("uint8")),
        **ON_CANVAS,
        "index": INDEX,
    }
    source = Buildings(name, fields, len(paths), paths, boxes, frame)
    return cached(source, cache_gib)


_read = ground_truth  # A setting has the same name.
