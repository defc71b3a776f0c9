"""`jax-ssl export`: the encoder of a run as one file that NumPy alone can read."""

import argparse
import pathlib

from jax_ssl.checkpoint.export import export_encoder
from jax_ssl.commands.opening import ENCODER, read_experiment, restored
from jax_ssl.config import Experiment
from jax_ssl.core.state import TrainState


def export(options: argparse.Namespace) -> int:
    """Writes the encoder of the last checkpoint, or of `--step`."""
    workdir = pathlib.Path(options.workdir)
    experiment = read_experiment(workdir, options.overrides)
    output = pathlib.Path(options.output or workdir / ENCODER)
    with restored(workdir, experiment, options.step) as (train, _):
        card = write_encoder(output, experiment, train)
    print(
        f"{output}: {card['encoder']['name']}, {card['parameters']:,} parameters, "
        f"step {card['step']}"
    )
    return 0


def write_encoder(
    path: pathlib.Path, experiment: Experiment, train: TrainState
) -> dict:
    """Exports what the method exports, with a card that says how to feed it."""
    view = dict(experiment.evals.view)
    image = experiment.source.spec["image"]
    card = {
        "encoder": experiment.config["encoder"],
        "method": experiment.config["method"],
        "step": int(train.step),
        "input": {
            "size": view.get("size", image.shape[0]),
            "channels": image.shape[-1],
            "layout": "NHWC",
            "range": [0, 1],
            "mean": view.get("mean"),
            "std": view.get("std"),
            "view": view,
        },
    }
    variables = experiment.method.export(train.params, train.state)
    return export_encoder(path, variables, card)
