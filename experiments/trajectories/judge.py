"""Runs the official code for 20 steps and keeps what it said.

    python experiments/trajectories/judge.py METHOD --code=FOLDER

FOLDER holds the repositories that the README names, each under its own name, at the
commits that stand there. Needs torch and torchvision, for some methods timm or lightly;
none of the library. Everything is computed in float64.
"""

import argparse
import pathlib

import given
import numpy as np
from peers import common
from settings import SETTINGS

RECORDS = pathlib.Path(__file__).parent / "records"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=sorted(SETTINGS))
    parser.add_argument("--code", required=True, help="folder of the repositories")
    options = parser.parse_args()
    common.prepare()
    from peers import PEERS

    settings = SETTINGS[options.method]
    losses, leaves, *more = PEERS[options.method](options.code, settings)
    leaves = {name: leaf.ours() for name, leaf in leaves.items()}
    found = {
        "losses": np.array(losses, np.float64),
        "parameters": given.sampled(leaves),
        "norms": given.norms(leaves),
        "names": np.array(sorted(leaves)),
        **(more[0] if more else {}),
    }
    assert len(losses) == given.STEPS, losses
    RECORDS.mkdir(exist_ok=True)
    np.savez_compressed(RECORDS / f"{options.method}.npz", **found)
    print(options.method, *(f"{loss:.4f}" for loss in losses))
    for name, leaf in sorted(leaves.items()):
        start = given.weight(name.removeprefix("teacher/"), leaf.shape)
        moved = np.linalg.norm(leaf - start) / np.linalg.norm(start)
        print(f"  {name:50s} moved by {moved:.3f}")


if __name__ == "__main__":
    main()
