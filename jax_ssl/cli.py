"""The command line: `jax-ssl train | evaluate | export | import | configs | …`."""

import argparse
import errno
import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from jax_ssl import __version__
from jax_ssl.core.signals import departure
from jax_ssl.core.telling import Lines

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
SPACE = "free space, then give the same command again, which continues"
ACCESS = "give this user access to it, or name another path"
KIND = "name another path"
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), ACCESS),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT), KIND),
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
# Variables that hold the number of a process among several.
NUMBERED = ("JAX_PROCESS_ID", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
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
# They print what is known without jax, and belong to no run.
LIGHT = ("configs", "completion")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        Exit status: 0; 2 for input that cannot be used, said in one message; 128 + n
        after signal n, with one line and nothing lost; 1 if the run itself, or another
        of its processes, failed.
    """
    if arguments is None:  # The program, and not a function of another one.
        departure.watch("jax-ssl")
        sys.unraisablehook = _said
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.overrides = _overrides(parser, rest)
    if options.command in LIGHT:
        return _light(options, parser)
    level = logging.DEBUG if options.verbose else logging.INFO
    handlers = [Lines(sys.stderr)]
    logging.basicConfig(level=level, format="%(message)s", handlers=handlers)
    for name in ("jax._src", "matplotlib", "PIL"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # What they report is raised as well, and then said in a sentence of ours.
    for name in ("absl", "asyncio", "orbax"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    if options.command != "settings" and _speaks(options):
        logging.info("jax-ssl %s: loading jax…", __version__)
    departure.command = f"jax-ssl {options.command}"
    departure.after = "continues" if options.command == "train" else "starts again"

    # Imported here: `jax-ssl --help` need not wait for jax. What is loaded now stays,
    # and to look for garbage among it takes a fifth of the time that loading takes.
    gc.disable()
    from jax_ssl.core.compiling import keep_programs
    from jax_ssl.parallel.processes import join
    from jax_ssl.run import command

    act = command(options.command)
    gc.freeze()
    gc.enable()
    keep_programs()
    processes = None
    try:
        processes = join(options)
        if processes is not None:
            departure.leave = processes.part
            if options.command != "train" and arguments is None:
                # Only the loop asks jax, which has taken SIGTERM for itself.
                departure.watch(departure.command)
        status = act(options)
        if processes is not None:
            processes.finish()
        return status
    except BaseException as error:
        if isinstance(error, BrokenPipeError) and options.command == "settings":
            return _nothing_more()
        known, text = _explained(error)
        if processes is not None:
            processes.leave(error, known, text)
        if known is not None:
            print(f"jax-ssl {options.command}: {text}", file=sys.stderr)
        if known is None or (known == 2 and options.verbose):
            raise
        return known


def _light(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Runs a command that jax is not loaded for."""
    from jax_ssl.run import command

    if options.overrides:
        parser.error(f"{options.command} takes no --config.{options.overrides[0]}")
    options.parser = parser
    try:
        status = command(options.command)(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _nothing_more()
    except (OSError, ValueError) as error:
        text = str(error)
        if isinstance(error, OSError):
            text = _refused_by_system(error)
            _nothing_more()  # The last flush would fail again.
        print(f"jax-ssl {options.command}: {text}", file=sys.stderr)
        return 2


def _nothing_more() -> int:
    """A pager has read enough, or the disk is full; Python's last flush is silent."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _said(problem: Any) -> None:
    """Python's own way with an error that has no place to go, but for one.

    Where a write of a checkpoint has failed, the writes beside it each complain that
    nobody waits for them any more.
    """
    if str(problem.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(problem)


def _speaks(options: argparse.Namespace) -> bool:
    """Whether this is the process that speaks, as far as one can tell without jax."""
    numbers = [os.environ.get(name, "0") for name in NUMBERED]
    given = getattr(options, "process_id", None)
    return {str(given or 0), *numbers} == {"0"}


def _explained(error: BaseException) -> tuple[int | None, str]:
    """Exit status and message of an error that a user can do something about."""
    from jax_ssl.checkpoint.manager import SaveError
    from jax_ssl.data.corrupt import TooManyCorrupt
    from jax_ssl.train.doctor import CollapseError
    from jax_ssl.train.loop import NotFiniteError

    if isinstance(error, OSError):
        return 2, _refused_by_system(error)
    if isinstance(error, ValueError | SaveError):
        return 2, str(error)
    if isinstance(error, NotFiniteError | CollapseError | TooManyCorrupt):
        return 1, f"stopped: {error}"
    return None, ""


def _refused_by_system(error: OSError) -> str:
    """What the operating system said no to, and what can be done about it."""
    if error.errno is None:
        return str(error)
    remedy = REMEDIES.get(error.errno, "see to this path, then give the command again")
    path = f"{error.filename}: " if error.filename else ""
    return f"{path}{error.strerror}; {remedy}."


def _parser() -> argparse.ArgumentParser:
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


def _overrides(parser: argparse.ArgumentParser, rest: Sequence[str]) -> list[str]:
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


if __name__ == "__main__":
    sys.exit(main())
