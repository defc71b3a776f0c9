"""The command line: `jax-ssl train | evaluate | export | import | configs | …`."""

import argparse
import contextlib
import errno
import gc
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from jax_ssl import __version__
from jax_ssl.core.signals import departure
from jax_ssl.core.telling import Lines
from jax_ssl.run.command_lines import command_parser, overrides

SPACE = "free space, then give the same command again, which continues"
ACCESS = "give this user access to it, or name another path"
KIND = "name another path"
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), ACCESS),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT), KIND),
}
# Variables that hold the number of a process among several.
NUMBERED = ("JAX_PROCESS_ID", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
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
    parser = command_parser()
    options, rest = parser.parse_known_args(arguments)
    options.overrides = overrides(parser, rest)
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

    # Imported here: `jax-ssl --help` need not wait for jax.
    with _not_collecting(program=arguments is None):
        from jax_ssl.core.compiling import keep_programs
        from jax_ssl.core.heap import fill_after_compiling
        from jax_ssl.parallel.processes import join
        from jax_ssl.run import command

        act = command(options.command)
    keep_programs()
    fill_after_compiling()
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


@contextlib.contextmanager
def _not_collecting(*, program: bool) -> Iterator[None]:
    """Looks for no garbage among what a program loads, which stays until its end.

    It would take a fifth of the time that loading takes. In another one's process, such
    as a notebook's, which has garbage of its own, nothing changes.
    """
    if not program:
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


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


if __name__ == "__main__":
    sys.exit(main())
