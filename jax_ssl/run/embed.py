"""`jax-ssl embed`: vectors of a folder of images, and which of them are alike."""

import argparse
import json
import logging
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from PIL import Image

from jax_ssl.checkpoint.run_folder import json_value, refuse_folder, replacing
from jax_ssl.core import checks
from jax_ssl.core.telling import telling
from jax_ssl.data.files import files_in
from jax_ssl.data.folder import EXTENSIONS
from jax_ssl.data.given import Frame
from jax_ssl.parallel.neighbors import top_k
from jax_ssl.report import draw
from jax_ssl.report.pictures import Examples, neighbors_grid
from jax_ssl.report.tiles import TILE, tile
from jax_ssl.run.use import Loaded, Outputs, load

ASKED, FOUND = 8, 6  # Rows and neighbours of a sheet, unless more are asked for.
AT_ONCE = 1024  # Queries of a search at a time.
FEW_PIXELS = 32  # Of a side: of a photograph hardly anything is left in fewer.
NAMED = 10  # Images that cannot be read, by name.

Columns = dict[str, np.ndarray]

log = logging.getLogger(__name__)


def embed(options: argparse.Namespace) -> int:
    """Writes vectors of images, and on request their neighbours and a sheet of some."""
    output = pathlib.Path(options.output or "features.npz")
    write = writer(output)
    refuse_folder(output)
    if options.sheet and pathlib.Path(options.sheet).suffix != ".png":
        raise ValueError(f"--sheet={options.sheet} must end in .png.")
    refuse_folder(options.sheet or "")
    if options.neighbors is not None:
        checks.at_least(1, **{"--neighbors": options.neighbors})
    checks.at_least(1, **{"--batch_size": options.batch_size})
    encoder = load(options.encoder)
    files, found = over_folder(encoder, options.images, options.batch_size)
    columns: Columns = {"files": np.array(files), "vectors": found["pooled"]}
    if options.neighbors or options.sheet:
        k = min(options.neighbors or FOUND, len(files) - 1)
        if k < 1:
            raise ValueError(
                f"--images={options.images} holds one image that can be read, which "
                "has no neighbours."
            )
        cosines, rows = neighbors(columns["vectors"], k)
        if options.sheet:
            _write_sheet(options.sheet, options.images, files, cosines, rows)
            print(f"{options.sheet}: {k} neighbours of some of the images")
        if options.neighbors:
            columns |= {"neighbors": rows, "similarities": cosines}
    write(output, columns, about(encoder))
    print(f"{output}: {len(files):,} vectors of {found['pooled'].shape[1]:,} numbers")
    return 0


def over_folder(
    loaded: Loaded, images: str, batch_size: int, wanted: tuple[str, ...] = ("pooled",)
) -> tuple[list[str], Outputs]:
    """Outputs for every image of a folder that can be read.

    The others are named and counted in the log, and left out.

    Args:
        loaded: the encoder.
        images: the folder; files at any depth count, in the order of their paths.
        batch_size: images at a time.
        wanted: see `Loaded.stream`.

    Returns:
        Paths of the images, relative to the folder, and outputs [N, ...].

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
        ValueError: if not one of the images can be read.
    """
    root = os.path.expanduser(images)
    if os.path.isfile(root):
        raise NotADirectoryError(
            f"--images={images} is a file; name the folder that it is in."
        )
    if not os.path.isdir(root):
        raise FileNotFoundError(f"--images={images}: there is no such folder.")
    files = files_in(root, EXTENSIONS, "image")
    paths = [os.path.join(root, file) for file in files]
    height, width, channels = loaded.reads
    few = min(height, width) < FEW_PIXELS
    log.log(
        logging.WARNING if few else logging.INFO,
        "%s reads %d x %d pixels of %d channel%s of every image%s",
        loaded.name,
        height,
        width,
        channels,
        "s" * (channels > 1),
        "; what is finer is lost" * few,
    )
    broken: dict[int, str] = {}
    rows: list[int] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    outputs = loaded.stream(paths, wanted, batch_size=batch_size, broken=broken)
    with telling(f"reading {len(files):,} images", len(files)) as advance:
        told = 0
        for some, found in outputs:
            rows += some
            for name in wanted:
                parts[name].append(found[name])
            done = len(rows) + len(broken)
            advance(done - told)
            told = done
    if broken:
        listed = [f"{files[i]} ({why.rstrip('.')})" for i, why in broken.items()]
        more = f" and {len(listed) - NAMED:,} more" if len(listed) > NAMED else ""
        said = "; ".join(listed[:NAMED]) + more
        if not rows:
            raise ValueError(
                f"--images={images}: not one of {len(files):,} images can be read: "
                f"{said}."
            )
        log.warning(
            "%s of %s images cannot be read and are left out: %s",
            f"{len(broken):,}",
            f"{len(files):,}",
            said,
        )
    whole = {name: np.concatenate(each) for name, each in parts.items()}
    return [files[row] for row in rows], whole


def neighbors(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k vectors that are nearest to each, but for itself.

    Args:
        vectors: [N, D], of any length.
        k: from 1 to N - 1.

    Returns:
        Cosines [N, k] float32 in falling order, and rows [N, k] int32.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = jnp.asarray(vectors / np.maximum(lengths, 1e-12))
    cosines, rows = [], []
    for first in range(0, len(unit), AT_ONCE):
        found = [
            np.asarray(x) for x in top_k(unit[first : first + AT_ONCE], unit, k + 1)
        ]
        own = first + np.arange(len(found[0]))[:, None]
        # Of images that are there twice, the image itself may not come first, or not
        # be among the nearest; then the last one is left out.
        itself = found[1] == own
        itself[:, -1] |= ~itself.any(axis=1)
        score, row = (x[~itself].reshape(-1, k) for x in found)
        cosines.append(score)
        rows.append(row)
    return np.concatenate(cosines), np.concatenate(rows)


def about(loaded: Loaded) -> dict[str, Any]:
    """Where vectors came from."""
    card = loaded.card
    kept = {name: card.get(name) for name in ("encoder", "method", "step", "sha256")}
    return {"file": loaded.name, **kept, "input": card.get("input")}


def writer(path: pathlib.Path) -> Callable[[pathlib.Path, Columns, Any], None]:
    """What writes a file of this suffix.

    Raises:
        ValueError: for another one, or where what writes it is not installed.
    """
    if path.suffix not in WRITERS:
        raise ValueError(f"--output={path} must end in {' or '.join(WRITERS)}.")
    if path.suffix == ".parquet":
        _pyarrow()
    return WRITERS[path.suffix]


def _npz(path: pathlib.Path, columns: Columns, told: Mapping[str, Any]) -> None:
    text = np.array(json.dumps(json_value(told)))
    entries: dict[str, Any] = {**columns, "about": text}
    with replacing(path) as file:
        np.savez(file, **entries)


def _parquet(path: pathlib.Path, columns: Columns, told: Mapping[str, Any]) -> None:
    arrow, parquet = _pyarrow()

    def column(values: np.ndarray) -> Any:
        if values.ndim == 1:
            return arrow.array(values.tolist())
        flat = arrow.array(np.ascontiguousarray(values).reshape(-1))
        return arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])

    # One row an image, so one word for each column.
    names = {"files": "file", "vectors": "vector"}
    table = arrow.table({names.get(n, n): column(x) for n, x in columns.items()})
    text = json.dumps(json_value(told))
    table = table.replace_schema_metadata({"about": text})
    with replacing(path) as file:
        parquet.write_table(table, file)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ValueError(
            "a .parquet file needs pyarrow: pip install 'jax_ssl[parquet]', or write "
            "--output=features.npz, which NumPy reads."
        ) from error
    return pyarrow, pyarrow.parquet


WRITERS: dict[str, Callable[[pathlib.Path, Columns, Any], None]] = {
    ".npz": _npz,
    ".parquet": _parquet,
}


def _write_sheet(
    path: str,
    images: str,
    files: Sequence[str],
    cosines: np.ndarray,
    rows: np.ndarray,
) -> None:
    """A picture of some images, spread over the folder, beside their neighbours."""
    asked = np.unique(np.linspace(0, len(files) - 1, min(ASKED, len(files))).round())
    asked = asked.astype(int)
    k = min(rows.shape[1], FOUND)
    frame = Frame(sides=(TILE, TILE), canvas=True)
    root = os.path.expanduser(images)
    known: dict[int, np.ndarray] = {}

    def shown(row: int) -> np.ndarray:
        if row not in known:
            known[row] = _tile(frame.read(os.path.join(root, files[row]))[0])
        return known[row]

    def examples(some: np.ndarray) -> Examples:
        values = np.stack([shown(int(row)) for row in some.ravel()])
        names = np.array([os.path.basename(files[row]) for row in some.ravel()])
        values = values.reshape(*some.shape, *values.shape[1:])
        return Examples(values, None, names.reshape(some.shape))

    found = neighbors_grid(
        examples(asked), examples(rows[asked, :k]), cosines[asked, :k]
    )
    count = range(len(asked))
    made = [[Image.fromarray(tile(c, r)) for c in found.columns] for r in count]
    with replacing(path) as file:
        file.write(draw.sheet(found.columns, made))


def _tile(pixels: np.ndarray) -> np.ndarray:
    """A picture [h, w, 3] in the middle of a white square; small ones are enlarged."""
    factor = TILE // max(pixels.shape[:2])
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = pixels.shape[:2]
    top, left = (TILE - height) // 2, (TILE - width) // 2
    found = np.full((TILE, TILE, 3), 255, np.uint8)
    found[top : top + height, left : left + width] = pixels
    return found
