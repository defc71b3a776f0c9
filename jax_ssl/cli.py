"""The command line: `jax-ssl train | evaluate | plan | report | export | settings`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

DESCRIPTION = "Self-supervised learning in JAX: train, evaluate, report, export."
CONFIG_HELP = (
    "config page, FILE.py or FILE.py:ARG; any setting follows as "
    "--config.SECTION.KEY=VALUE"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        Exit status: 0; 2 for input that cannot be used, said in one message; 128 + n
        after signal n, with the run saved; 1 if the run itself, or another of its
        processes, failed.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.overrides = _overrides(parser, rest)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(message)s",
        stream=sys.stderr,
    )
    for name in ("absl", "orbax", "jax._src", "matplotlib", "PIL"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    # Imported here: `jax-ssl --help` need not wait for jax.
    from jax_ssl.parallel.processes import join, leave
    from jax_ssl.run import COMMANDS

    processes = None
    try:
        processes = join(options)
        status = COMMANDS[options.command](options)
        if processes is not None:
            processes.finish()
        return status
    except BaseException as error:
        known, text = _explained(error)
        if processes is not None:
            leave(processes, error, known, text)
        if known is not None:
            print(f"jax-ssl {options.command}: {text}", file=sys.stderr)
        if known is None or (known == 2 and options.verbose):
            raise
        return known


def _explained(error: BaseException) -> tuple[int | None, str]:
    """Exit status and message of an error that a user can do something about."""
    from jax_ssl.data.corrupt import TooManyCorrupt
    from jax_ssl.train.doctor import CollapseError
    from jax_ssl.train.loop import NotFiniteError

    if isinstance(error, ValueError | FileNotFoundError):
        return 2, str(error)
    if isinstance(error, NotFiniteError | CollapseError | TooManyCorrupt):
        return 1, f"stopped: {error}"
    return None, ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jax-ssl", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = _command(
        commands,
        "train",
        "train from a config page; the same command again continues where it stopped",
    )
    train.add_argument("--config", required=True, metavar="FILE", help=CONFIG_HELP)
    train.add_argument(
        "--workdir",
        required=True,
        metavar="DIR",
        type=_folder,
        help="folder of the run",
    )
    evaluate = _command(
        commands,
        "evaluate",
        "evaluate a run's last checkpoint; --config.evals.KEY=VALUE changes protocols",
    )
    evaluate.add_argument("--workdir", required=True, metavar="DIR", type=_folder)
    evaluate.add_argument(
        "--step", type=int, metavar="N", help="this checkpoint, not the last"
    )
    _hosts(train)
    _hosts(evaluate)
    plan = _command(
        commands,
        "plan",
        "compile the train step for a TPU slice, without one: memory, time, traffic",
    )
    plan.add_argument("--config", required=True, metavar="FILE", help=CONFIG_HELP)
    plan.add_argument(
        "--topology",
        required=True,
        metavar="KIND:SIZE",
        help="v5e:4x8, cpu:8 and so on",
    )
    plan.add_argument("--chips", type=int, metavar="N", help="only N of the slice")
    plan.add_argument(
        "--num_examples", type=int, metavar="N", help="of a data set that is not here"
    )
    plan.add_argument(
        "--memory_gb", type=float, metavar="GB", help="of a device; default: the chip's"
    )
    plan.add_argument(
        "--search",
        choices=("batch", "chunks"),
        help="find the largest batch or the fewest chunks that fit; many compilations",
    )
    plan.add_argument("--json", action="store_true", help="print JSON, no table")
    plan.add_argument(
        "--output", metavar="FILE.json", help="write JSON there, the table beside it"
    )
    report = _command(commands, "report", "write the run's HTML report and its PNGs")
    report.add_argument("--workdir", required=True, metavar="DIR", type=_folder)
    export = _command(
        commands, "export", "write the encoder of a run's last checkpoint to one file"
    )
    export.add_argument("--workdir", required=True, metavar="DIR", type=_folder)
    export.add_argument(
        "--what",
        default="encoder",
        metavar="NAME",
        help="encoder, or with its heads the teacher to distill from (dinov2)",
    )
    export.add_argument("--output", metavar="FILE", help="default: DIR/export/WHAT.npz")
    export.add_argument("--step", type=int, metavar="N")
    settings = _command(
        commands, "settings", "print what a config can hold: names, types and defaults"
    )
    settings.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help="a config page, a section, or SECTION.NAME; default: all that has a name",
    )
    return parser


def _folder(path: str) -> str:
    """A path of the file system; an address would become a local folder unseen."""
    if "://" in path:
        raise argparse.ArgumentTypeError(
            f"{path!r} is an address, not a folder; mount the bucket (gcsfuse) or use "
            "a disk that all hosts share."
        )
    return path


def _hosts(command: argparse.ArgumentParser) -> None:
    """The flags of a command that several processes may run together."""
    group = command.add_argument_group(
        "several processes",
        "started by Cloud TPU, GKE, Slurm (srun) or Open MPI, or told by the variables "
        "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, they need no "
        "flags; all are given the same command and share one --workdir",
    )
    group.add_argument(
        "--distributed",
        choices=("auto", "off"),
        default="auto",
        help="off: run alone, whatever the launcher says",
    )
    group.add_argument(
        "--coordinator_address",
        metavar="HOST:PORT",
        help="a free port of process 0's host, to which the others connect",
    )
    group.add_argument("--num_processes", type=int, metavar="N")
    group.add_argument("--process_id", type=int, metavar="I", help="0 to N - 1")
    group.add_argument(
        "--peer_timeout",
        type=float,
        default=100,
        metavar="SECONDS",
        help="a process silent for so long counts as dead, and ends all others "
        "(default: 100)",
    )


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument(
        "--verbose", action="store_true", help="more log lines, and tracebacks"
    )
    return command


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
