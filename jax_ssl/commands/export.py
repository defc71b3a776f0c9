"""`jax-ssl export`: the encoder of a run as one file that NumPy alone can read."""

import argparse
import pathlib

from jax_ssl.checkpoint.export import export_encoder
from jax_ssl.commands.opening import ENCODER, TEACHER, read_experiment, restored
from jax_ssl.config import Experiment
from jax_ssl.core.method import ExportFn
from jax_ssl.core.state import TrainState


def export(options: argparse.Namespace) -> int:
    """Writes the encoder of the last checkpoint, or of `--step`, or the teacher.

    Raises:
        ValueError: if a teacher is asked for and the method has none to learn from.
    """
    workdir = pathlib.Path(options.workdir)
    experiment = read_experiment(workdir, options.overrides)
    method = experiment.method
    take = method.export_teacher if options.teacher else method.export
    if take is None:
        raise ValueError(
            f"--teacher: {experiment.config['method']['name']} has no teacher to "
            "distill from; dinov2 has."
        )
    default = TEACHER if options.teacher else ENCODER
    output = pathlib.Path(options.output or workdir / default)
    with restored(workdir, experiment, options.step) as (train, _):
        card = write_encoder(output, experiment, train, take)
    print(
        f"{output}: {card['encoder']['name']}, {card['parameters']:,} parameters, "
        f"step {card['step']}"
    )
    return 0


def write_encoder(
    path: pathlib.Path,
    experiment: Experiment,
    train: TrainState,
    take: ExportFn | None = None,
) -> dict:
    """Exports what the method exports, with a card that says how to feed it."""
    view = dict(experiment.evals.view)
    image = experiment.source.fields["image"]
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
    variables = (take or experiment.method.export)(train.params, train.state)
    return export_encoder(path, variables, card)
