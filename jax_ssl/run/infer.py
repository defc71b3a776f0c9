"""`jax-ssl infer`: what a run's method predicts of a folder of pictures, as files."""

import argparse
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.state import TrainState
from jax_ssl.core.telling import telling
from jax_ssl.core.types import Array, Batch, Example, Params, State
from jax_ssl.data.geometry_files import write_kitti_flow, write_kitti_map, write_png
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.part import on_mesh
from jax_ssl.parallel.mesh import replicated
from jax_ssl.parallel.rows import map_examples
from jax_ssl.parallel.together import together
from jax_ssl.report import tiles
from jax_ssl.run.album import Album
from jax_ssl.run.predicted import MAPS
from jax_ssl.run.run import Run

AT_ONCE = 4  # Pictures that a device takes at a time.
POSES = "poses"
AFTER = ("flow", "disparity_next")  # They need the next picture.


def infer(options: argparse.Namespace) -> int:
    """Writes predictions of the last checkpoint, or of `--step`."""
    run = Run.opened(options.workdir, options.overrides)
    output = pathlib.Path(options.output or run.workdir / "predictions")
    names = asked(run, tuple(filter(None, (options.task or "").split(","))))
    album = Album(run, options.images, intrinsics_of(options.intrinsics))
    with run.restored(options.step) as train:
        counts = write_predictions(run, train, album, output, names)
    said = ", ".join(f"{name} of {count:,}" for name, count in counts.items())
    print(f"{output}: {said} pictures")
    return 0


def asked(run: Run, tasks: Sequence[str]) -> list[str]:
    """Names of the predictions that are written: `tasks`, or all.

    Raises:
        ValueError: if the method makes no prediction, or none of such a name.
    """
    method = run.experiment.config["method"]["name"]
    known = [n for n in run.experiment.method.predicts if n in (*MAPS, POSES)]
    if not known:
        raise ValueError(f"the method {method} predicts nothing that could be written.")
    if unknown := [name for name in tasks if name not in known]:
        raise ValueError(
            f"--task={unknown[0]}: the method {method} predicts {', '.join(known)}."
        )
    return [name for name in known if not tasks or name in tasks]


def intrinsics_of(text: str | None) -> np.ndarray | None:
    """The matrix [3, 3] of "fx,fy,cx,cy", in pixels; None for None.

    Raises:
        ValueError: if these are not four finite numbers, the first two positive.
    """
    if text is None:
        return None
    try:
        fx, fy, cx, cy = (float(word) for word in text.split(","))
    except ValueError as error:
        raise ValueError(
            f"--intrinsics={text} must be four numbers of pixels, FX,FY,CX,CY."
        ) from error
    if not (np.isfinite([fx, fy, cx, cy]).all() and min(fx, fy) > 0):
        raise ValueError(
            f"--intrinsics={text}: all must be finite, and the focal lengths FX and FY "
            "above 0."
        )
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def write_predictions(
    run: Run,
    train: TrainState,
    album: Album,
    output: pathlib.Path,
    names: Sequence[str],
) -> dict[str, int]:
    """Writes maps of every picture at its own size, and the way of the camera.

    Depth in metres and disparity in pixels are PNGs of 16 bits that hold 256 times the
    value, flow one of KITTI's, and classes are PNGs of 8 bits, under OUTPUT/NAME/; each
    has a picture in colours under OUTPUT/NAME_color/. The poses of a film are chained
    to OUTPUT/poses.txt, a line of 12 numbers a picture, to the first camera. The
    evaluation's view, which makes what the method reads, must show whole pictures.

    Args:
        run: with its mesh installed.
        train: params and state.
        album: the pictures.
        output: the folder that is written.
        names: of the predictions.

    Returns:
        Numbers of pictures by prediction.

    Raises:
        ValueError: if two pictures would have one name, or a single one has no next.
    """
    if len(album) == 1 and {*names} <= {*AFTER}:
        raise ValueError(
            f"--images holds one picture, and there is no {' and no '.join(names)} "
            "without a next one; give two or more, named in their order."
        )
    files = [path.with_suffix(".png") for path in album.files]
    if len({*files}) < len(files):
        raise ValueError(
            "some pictures differ in their suffix alone, and their predictions would "
            "have one name; rename them."
        )
    counts, last = dict.fromkeys(names, 0), len(album) - 1
    predict, size = (
        predictor(run, names, album.sides),
        AT_ONCE * run.experiment.mesh.size,
    )
    steps = [np.eye(4)]
    with telling(f"predicting · {len(album):,} pictures", len(album)) as advance:
        for first in range(0, len(album), size):
            # The last batch is as large as the others, or it would be compiled anew.
            rows = np.minimum(np.arange(first, first + size), last)
            batch = album.examples(rows)
            examples = {name: on_mesh(value) for name, value in batch.items()}
            found = predict(train.params, train.state, examples)
            for row in range(first, min(first + size, len(album))):
                height, width = batch["size"][row - first]
                for name, values in found.items():
                    own = np.asarray(values[row - first])
                    if name == POSES:
                        steps.append(_step(own))
                    elif row < last or name not in AFTER:
                        _write(output, name, files[row], own[:height, :width])
                    else:
                        continue
                    counts[name] += 1
                advance(1)
    if POSES in names:
        way = [*itertools.accumulate(steps[: len(album)], np.matmul)]
        output.mkdir(parents=True, exist_ok=True)
        lines = np.stack(way)[:, :3].reshape(-1, 12)
        np.savetxt(output / f"{POSES}.txt", lines, fmt="%.6e")
    return counts


def predictor(
    run: Run, names: Sequence[str], sides: tuple[int, int]
) -> Callable[[Params, State, Batch], Mapping[str, Array]]:
    """What makes of examples all predictions in pixels of their pictures.

    Args:
        run: with its mesh installed.
        names: of the predictions.
        sides: (height, width) of the canvas that the pictures lie on.
    """
    view, predicts = run.experiment.view, run.experiment.method.predicts

    def said(params: Params, state: State, batch: Batch) -> dict[str, Array]:
        seen = map_examples(view, jax.random.key(0), batch)
        found = {name: predicts[name](params, state, seen) for name in names}

        def one(key: Array, row: Example) -> dict[str, Array]:
            del key
            size = row["size"]
            return {n: _at_picture(n, row[n], size, sides) for n in names}

        return map_examples(one, jax.random.key(0), {**found, "size": batch["size"]})

    return together(said, out_shardings=replicated(run.experiment.mesh))


def _at_picture(name: str, values: Array, size: Array, sides: tuple[int, int]) -> Array:
    """A map of the view as one [H, W, ...] in pixels of the picture."""
    fields, label = {"size": size}, jnp.zeros(sides)
    values = values.astype(jnp.float32)
    if name == "flow":
        return maps.flow_at_label(values, fields, label)
    if name == "segmentation":
        return maps.at_label(values, fields, label).argmax(axis=-1).astype(jnp.uint8)
    if name == "depth":
        return maps.depth_at_label(values, fields, label)
    return values if name == POSES else maps.disparity_at_label(values, fields, label)


def _write(
    output: pathlib.Path, name: str, file: pathlib.Path, values: np.ndarray
) -> None:
    """A map in numbers and in colours."""
    _, kind = MAPS[name]
    color: Callable[..., np.ndarray] = tiles.TILES[kind]
    paths = output / name / file, output / f"{name}_color" / file
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "flow":
        write_kitti_flow(str(paths[0]), values)
    elif kind == "mask":
        write_png(str(paths[0]), values)
    else:
        write_kitti_map(str(paths[0]), values)
    write_png(str(paths[1]), color(values))


def _step(poses: np.ndarray) -> np.ndarray:
    """Motion [4, 4] from the camera after the target to the target's, of [T, 3, 4]."""
    target = (len(poses) - 1) // 2
    whole = np.tile(np.eye(4), (2, 1, 1))
    whole[:, :3] = poses[target : target + 2]
    return np.linalg.solve(whole[0], whole[1])
