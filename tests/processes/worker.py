"""One of several processes that train and evaluate a method together; run by a test.

Leaves `<what>-<process>.npz` in the folder given, beside the checkpoints of the runs.
"""

import argparse
import pathlib
import sys

import jax
import numpy as np

from jax_ssl.parallel.feed import to_global
from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.parallel.processes import join
from tests.processes import runs


def check_rows():
    """A row of the global batch lies on the process that reads it, and in order."""
    mesh, share = make_mesh(), 8
    mine = np.arange(share) + share * jax.process_index()
    batch = to_global({"index": mine}, mesh)["index"]
    assert batch.shape == (share * jax.process_count(),)
    for shard in batch.addressable_shards:
        rows = np.arange(batch.shape[0])[shard.index]
        assert set(rows) <= set(mine)
        np.testing.assert_array_equal(shard.data, rows)


def main(name, folder):
    processes = join(argparse.Namespace(distributed="auto", peer_timeout=20))

    def keep(what, arrays):
        np.savez(folder / f"{what}-{jax.process_index()}.npz", **arrays)

    check_rows()
    straight = runs.train(name, folder / "straight")
    keep("straight", runs.leaves(straight))
    keep("features", runs.features(name, straight))
    keep("resumed", runs.leaves(runs.train(name, folder / "of_one_device")))
    split = runs.train(name, folder / "split", fsdp=8)
    whole = [leaf.is_fully_replicated for leaf in jax.tree.leaves(split.params)]
    assert not all(whole)
    keep("split", runs.leaves(split))
    processes.finish()


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
