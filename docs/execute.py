"""Executes the notebooks in docs/ as their readers do, each in a kernel of its own.

Run `python -m docs.execute`; EPOCHS and STEPS in the environment make them shorter.
What they write goes to folders that are dropped; the files themselves stay as they are.
"""

import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = pathlib.Path(__file__).resolve().parent / "notebooks"


def main() -> int:
    """Executes all of them, two at a time; exit status 1 if a cell failed."""
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    with ThreadPoolExecutor(2) as pool:
        return int(not all(pool.map(executed, paths)))


def executed(path: pathlib.Path) -> bool:
    """Whether all cells of a notebook ran; the error is printed."""
    start = time.monotonic()
    client = NotebookClient(nbformat.read(path, as_version=4), timeout=600)
    try:
        client.execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return False
    print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
