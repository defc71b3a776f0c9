"""`jax-ssl export`: the encoder of a run as one file that NumPy alone can read.

Or, with `--to`, as files of other libraries.
"""

import argparse
import dataclasses
import pathlib
import tempfile
from typing import Any

from jax_ssl.checkpoint.export import export_encoder, load_encoder, rewrite
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Variables
from jax_ssl.run.export_to import PLACES, write_as
from jax_ssl.run.run import Run
from jax_ssl.run.use import exported


def export(options: argparse.Namespace) -> int:
    """Writes the encoder, or `--what`, of the last checkpoint, or of `--step`.

    Or that of a file, `--encoder`, in another form.
    """
    to, output = options.to, options.output
    if (options.workdir is None) == (options.encoder is None):
        raise ValueError(
            "export needs --workdir=RUN, whose last checkpoint is exported, or "
            "--encoder=FILE, which is written in another form; give one of the two."
        )
    if options.encoder is not None:
        file = exported(options.encoder, options.what)
        name = file.stem
        variables, card = load_encoder(file)
        path = pathlib.Path(output or file.with_name(PLACES[to].format(name)))
        if path.exists() and path.samefile(file):
            raise ValueError(
                f"--output={path} would take the place of the file that is read; "
                "choose another --to, or another --output."
            )
        if to == "npz":
            rewrite(path, variables, card)
        else:
            write_as(to, path, variables, card)
    else:
        run = Run.opened(options.workdir, options.overrides)
        file = run.workdir / "export" / PLACES["npz"].format(options.what)
        path = file.with_name(PLACES[to].format(options.what))
        path = pathlib.Path(output or path)
        with run.restored(options.step) as train:
            if to == "npz":
                card = write_export(run, train, options.what, str(path))
            else:
                variables, card = exported_of(run, train, options.what)
                write_as(to, path, variables, card)
    step = "imported" if card["step"] is None else f"step {card['step']}"
    name, count = card["encoder"]["name"], card["parameters"]
    print(f"{path}: {name}, {count:,} parameters, {step}")
    return 0


def exported_of(
    run: Run, train: TrainState, what: str
) -> tuple[Variables, dict[str, Any]]:
    """What the method exports, as if it had been read from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "export.npz"
        write_export(run, train, what, str(path))
        return load_encoder(path)


def write_export(
    run: Run, train: TrainState, what: str = "encoder", output: str | None = None
) -> dict[str, Any]:
    """Writes what the method exports, with a card that says how to feed it.

    Args:
        run: whose settings the card holds.
        train: params and state.
        what: a key of `Method.exports`.
        output: the file; "export/WHAT.npz" in the run's folder unless given.

    Returns:
        The card, and the file's path under "file".

    Raises:
        ValueError: if the method exports nothing of that name.
    """
    experiment = run.experiment
    exports = experiment.method.exports
    if what not in exports:
        raise ValueError(
            f"--what={what}: {experiment.config['method']['name']} exports "
            f"{', '.join(exports)}."
        )
    card: dict[str, Any] = {
        "what": what,
        "encoder": experiment.config["encoder"],
        "method": experiment.config["method"],
        "step": int(train.step),
        "input": _described(run),
        "run": _settings(run),
    }
    path = pathlib.Path(output or run.workdir / "export" / f"{what}.npz")
    variables = exports[what](train.params, train.state)
    return {**export_encoder(path, variables, card), "file": str(path)}


def _settings(run: Run) -> dict[str, Any]:
    """What makes encoder and view again, without the data and their places."""
    experiment = run.experiment
    config = dict(experiment.config)
    places = ("path", "data_dir", "only", "names", "labels")
    config["data"] = {n: v for n, v in config["data"].items() if n not in places}
    config["run"] = {**config["run"], "init_from": None}
    config["evals"] = {**config["evals"], "train": None, "test": None}
    return {
        "config": config,
        "num_examples": len(experiment.everything),
        "fields": {
            name: {**dataclasses.asdict(field), "dtype": field.dtype.name}
            for name, field in experiment.everything.fields.items()
        },
    }


def _described(run: Run) -> dict[str, Any]:
    """What the encoder reads, for someone who has nothing but the file."""
    seen, view = run.judge.seen(run.train), run.experiment.evals.view
    found: dict[str, Any] = {"shape": seen.shape, "view": view, **run.rate}
    if len(seen.shape) > 2:
        found |= {
            "size": view.get("size", seen.shape[-3]),
            "channels": seen.shape[-1],
            "layout": "NHWC",
            "range": [0, 1],
            "mean": view.get("mean"),
            "std": view.get("std"),
        }
    return found
