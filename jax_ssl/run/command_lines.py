"""What can be written on the command line: each command, and its arguments."""

import argparse
from collections.abc import Sequence
from typing import Any

from jax_ssl import __version__

DESCRIPTION = "Self-supervised learning in JAX: train, evaluate, report, export."
CONFIG_HELP = (
    "config page, NAME, FILE.py or either with :ARG; any setting follows as "
    "--config.SECTION.KEY=VALUE"
)


def folder(path: str) -> str:
    """A path of the file system; an address would become a local folder unseen."""
    if "://" in path:
        raise argparse.ArgumentTypeError(
            f"{path!r} is an address, not a path; mount the bucket (gcsfuse) or use "
            "a disk that all hosts share."
        )
    return path


def named(metavar: str, text: str, **more: Any) -> dict[str, Any]:
    """What argparse is told of an argument whose value is called `metavar`."""
    return {"metavar": metavar, "help": text, **more}


# What argparse is told of each argument.
FLAGS: dict[str, dict[str, Any]] = {
    "--config": named("FILE", CONFIG_HELP, required=True),
    "--workdir": named("DIR", "folder of the run", type=folder, required=True),
    "--seeds": named(
        "N,N,...",
        "train these seeds as one program, each into its own folder DIR/seed-N",
    ),
    "--extend": {
        "action": "store_true",
        "help": "go on with a finished run, to a larger run.num_epochs or num_steps",
    },
    "--step": named("N", "this checkpoint, not the last", type=int),
    "--topology": named("KIND:SIZE", "v5e:4x8, cpu:8", required=True),
    "--chips": named("N", "only N of the slice", type=int),
    "--num_examples": named("N", "of a data set that is not here", type=int),
    "--memory_gb": named("GB", "of a device (default: the chip's)", type=float),
    "--search": {
        "choices": ("batch", "chunks"),
        "help": "find the largest batch or the fewest chunks that fit (slow)",
    },
    "--json": {"action": "store_true", "help": "print JSON, no table"},
    "--suite": named("NAME", "judge by many data sets, such as those of transfer"),
    "--data_dir": named(
        "DIR", "folder of the suite's data sets (default: the run's own)", type=folder
    ),
    "--sets": named(
        "NAMES", "some of the suite's sets, or folders with train/ and test/"
    ),
    "--features": named("NAMES", "of the suite: trained,untrained,pixels or some"),
    "--baseline": named("FILE", "results.json whose errors mCE is relative to"),
    "--output": named("PATH", "write it there", type=folder),
    "--what": named(
        "NAME",
        "encoder, or with its heads the teacher to distill from",
        default="encoder",
    ),
    "--images": named(
        "DIR",
        "folder of images; those of a film in the order of their names",
        type=folder,
        required=True,
    ),
    "--task": named("NAMES", "of predictions, such as depth,flow (default: all)"),
    "--intrinsics": named(
        "FX,FY,CX,CY", "of the camera, in pixels (default: the training data's)"
    ),
    "file": named("FILE", "weights, or a folder as of the Hugging Face hub's"),
    "--from": named(
        "SOURCE", "whose weights they are (default: told by the names)", default="auto"
    ),
    "--prefix": named("PREFIX", "of the names to read, where several networks are"),
    "--heads": named("N", "attention heads, where the width does not tell", type=int),
    "--set": named(
        "NAME=VALUE",
        "a setting of the encoder that no shape tells; may be given several times",
        action="append",
    ),
    "--allow_unused": {
        "action": "store_true",
        "help": "let arrays be left over that belong to no known head",
    },
    "--verify": {
        "action": "store_true",
        "help": "compare features on ten images with torch's (the extra [verify])",
    },
    "runs": named("RUN", "folders of runs, two or more", nargs="+", type=folder),
    "what": named(
        "WHAT",
        "a config page, a section, or SECTION.NAME (default: all names)",
        nargs="?",
    ),
    "word": named("WORD", "only pages with it in name or line", nargs="?"),
    "shell": named("SHELL", "bash, zsh or fish", choices=("bash", "zsh", "fish")),
    "--encoder": named(
        "FILE|RUN", "exported encoder, or the folder of a finished run", required=True
    ),
    "--to": {
        "choices": ("npz", "safetensors", "torch", "timm", "hf", "onnx"),
        "default": "npz",
        "help": "of our own form or another library's (npz); timm and hf are folders",
    },
    "--classifier": named(
        "FILE|RUN",
        "written by jax-ssl export --what=classifier, or the folder of a finished run",
        required=True,
    ),
    "--neighbors": named("K", "write the K nearest images of each too", type=int),
    "--sheet": named(
        "FILE.png", "a picture of some images and their neighbours", type=folder
    ),
    "--batch_size": named("N", "images at a time (64)", type=int, default=64),
    "--top": named("K", "the K likeliest classes (1)", type=int, default=1),
    "--verbose": {"action": "store_true", "help": "more log lines, and tracebacks"},
}
SEVERAL = (
    "several processes",
    "started by Cloud TPU, GKE, Slurm (srun) or Open MPI, or told by the variables "
    "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, they need no "
    "flags; all are given the same command and share one --workdir",
)
# Of commands that several processes may run together.
HOSTS: dict[str, dict[str, Any]] = {
    "--distributed": {
        "choices": ("auto", "off"),
        "default": "auto",
        "help": "off: run alone, whatever the launcher says",
    },
    "--coordinator_address": named(
        "HOST:PORT", "a free port of process 0's host, to which the others connect"
    ),
    "--num_processes": {"type": int, "metavar": "N"},
    "--process_id": named("I", "0 to N - 1", type=int),
    "--peer_timeout": named(
        "SECONDS",
        "a process silent for so long counts as dead, and ends all others "
        "(default: 100)",
        type=float,
        default=100,
    ),
}
# What each does, and its arguments; one with a "?" may be left out there.
COMMAND_LINES: dict[str, tuple[str, str]] = {
    "train": (
        "train from a config page; the same command again continues where it stopped",
        "--config --workdir --seeds --extend",
    ),
    "evaluate": (
        "evaluate a run's last checkpoint; --config.evals.KEY=VALUE changes protocols, "
        "--suite=transfer judges by other data sets",
        "--workdir --step --suite --data_dir --sets --features --baseline",
    ),
    "plan": (
        "compile the train step for a TPU slice, without one: memory, time, traffic",
        "--config --topology --chips --num_examples --memory_gb --search --json "
        "--output",
    ),
    "report": ("write the run's HTML report and its PNGs", "--workdir"),
    "export": (
        "write the encoder of a run's last checkpoint, or a file, for use elsewhere",
        "--workdir? --encoder? --what --to --output --step",
    ),
    "embed": (
        "write vectors of the images of a folder, to .npz or .parquet",
        "--encoder --images --output --neighbors --sheet --batch_size",
    ),
    "predict": (
        "write what a fine-tuned classifier calls the images of a folder, to .csv",
        "--classifier --images --output --top --batch_size",
    ),
    "import": (
        "make an encoder of published weights: torchvision, timm, transformers, DINO, "
        "MoCo, MAE, SimCLR, big_vision and others; torch is not needed",
        "file --from --output --prefix --heads --set --allow_unused --verify",
    ),
    "infer": (
        "write depth, flow or whatever else a run's method predicts of pictures",
        "--workdir --images --output --task --intrinsics --step",
    ),
    "compare": (
        "print runs side by side, with spreads over seeds, and write a page of curves",
        "runs --output",
    ),
    "settings": ("print what a config can hold: names, types and defaults", "what"),
    "configs": (
        "list the pages of the library, which --config takes by name, with a line each",
        "word",
    ),
    "completion": (
        "print a script by which bash, zsh or fish completes commands and pages",
        "shell",
    ),
}


def command_parser() -> argparse.ArgumentParser:
    """The parser of `jax-ssl`, whose options hold "command" and its arguments."""
    parser = argparse.ArgumentParser(prog="jax-ssl", description=DESCRIPTION)
    version = f"jax-ssl {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, flags) in COMMAND_LINES.items():
        command = commands.add_parser(name, help=text, description=text)
        for flag in (*flags.split(), "--verbose"):
            told = FLAGS[flag.removesuffix("?")]
            if flag.endswith("?"):
                told = {**told, "required": False}
            command.add_argument(flag.removesuffix("?"), **told)
        if name in ("train", "evaluate"):
            group = command.add_argument_group(*SEVERAL)
            for flag, told in HOSTS.items():
                group.add_argument(flag, **told)
    return parser


def overrides(parser: argparse.ArgumentParser, rest: Sequence[str]) -> list[str]:
    """The "section.key=value" part of "--config.section.key=value" arguments."""
    found = []
    words = iter(rest)
    for word in words:
        if not word.startswith("--config."):
            parser.error(f"unknown argument {word!r}")
        if "=" not in word:
            value = next(words, None)
            if value is None:
                parser.error(f"{word!r} has no value; write {word}=VALUE")
            word = f"{word}={value}"
        found.append(word.removeprefix("--config."))
    return found
