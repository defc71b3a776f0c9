"""Puts a fault of `tests/mutants.py` into a copy of the package, and runs its tests."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tests.mutants import Mutant

ROOT = pathlib.Path(__file__).resolve().parent.parent


def mutated(mutant: Mutant, root: pathlib.Path = ROOT) -> str:
    """The file with the fault in it.

    Raises:
        ValueError: if the text to be replaced is not there exactly once.
    """
    text = (root / "jax_ssl" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.file} has {mutant.old!r} {text.count(mutant.old)} times, not once"
        )
    return text.replace(mutant.old, mutant.new)


def convicted(mutant: Mutant, root: pathlib.Path = ROOT) -> str | None:
    """The first default test that fails with the fault in place; None if all pass.

    Raises:
        RuntimeError: if pytest neither passed nor failed.
    """
    with tempfile.TemporaryDirectory(prefix="jax_ssl-mutant-") as folder:
        copy = pathlib.Path(folder)
        for name in ("jax_ssl", "tests", ".pytest.ini", "README.md", "configs"):
            if (root / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(root / name, copy / name, ignore=ignored)
            else:
                shutil.copy(root / name, copy / name)
        (copy / "jax_ssl" / mutant.file).write_text(mutated(mutant, root))
        files, *chosen = mutant.tests.split(" -k ")
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider"]
        command += [f"tests/{file}" for file in files.split()]
        command += ["-k", *chosen] if chosen else []
        # Else a copy of the package that is installed could be tested in its place.
        environ = {**os.environ, "PYTHONPATH": str(copy)}
        ended = subprocess.run(
            command, cwd=copy, env=environ, capture_output=True, text=True, check=False
        )
        if ended.returncode == 0:
            return None
        failed = [
            line.split()[1]
            for line in ended.stdout.splitlines()
            if line.startswith("FAILED")
        ]
        if ended.returncode != 1 or not failed:
            raise RuntimeError(ended.stdout[-2000:] + ended.stderr[-2000:])
        return failed[0]
