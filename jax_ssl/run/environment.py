"""Where and with what a run ran, for its results and its report."""

import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

import jax

from jax_ssl import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "libtpu")


def environment() -> dict[str, Any]:
    """Command, commit, date, devices and versions, JSON values."""
    device = jax.devices()[0]
    return {
        "command": command(),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "devices": f"{jax.device_count()} x {device.device_kind}",
        "cores": os.cpu_count(),
        "processes": jax.process_count(),
        "platform": platform.platform(),
        "versions": versions(),
    }


def command() -> str:
    """The command line that this process was started with."""
    program = pathlib.Path(sys.argv[0]).name
    spoken = "python -m jax_ssl" if program == "__main__.py" else program
    return shlex.join([*spoken.split(), *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Of the library, Python, and the packages that are installed."""
    found = {"jax_ssl": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _commit() -> str:
    """Commit of the source tree that runs, with a + if it has changes, or the version.

    A run always names one of the two.
    """
    root = pathlib.Path(__file__).resolve().parents[2]
    # Named, so that no repository around an installed package is taken for its own.
    here = [f"--git-dir={root / '.git'}", f"--work-tree={root}"]
    describe = ["git", *here, "describe", "--always", "--dirty=+", "--abbrev=12"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(describe, capture_output=True, timeout=10, check=True)
        return said.stdout.decode().strip()
    return f"version {__version__}"
