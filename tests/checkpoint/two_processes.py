"""One of two processes that save, restore and export together; run by a test."""

import sys

import jax
import numpy as np

from jax_ssl.checkpoint.export import export_encoder
from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.checkpoint.names import is_key
from jax_ssl.checkpoint.run_folder import check_config
from jax_ssl.parallel.mesh import make_mesh
from tests.checkpoint.states import shardings, train_state


def words(leaf):
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def main(process, port, folder):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", 2, process)
    mesh = make_mesh(fsdp=4)
    assert mesh.size == 2 * len(jax.local_devices())
    shapes = jax.eval_shape(train_state)
    where = shardings(shapes, mesh)
    train = jax.jit(train_state, out_shardings=where)
    like = jax.tree.map(
        lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at),
        shapes,
        where,
    )
    check_config(folder, {"a": 1})
    with open_checkpoints(f"{folder}/checkpoints", keep=2) as checkpoints:
        for step in (1, 2, 3):
            assert checkpoints.save(train(step), {"step": step})
        assert checkpoints.steps() == [2, 3]
        assert checkpoints.host() == {"step": 3}
        restored = checkpoints.restore(like)
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(train(3)), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)
        pairs = zip(
            words(a).addressable_shards, words(b).addressable_shards, strict=True
        )
        for one, two in pairs:
            np.testing.assert_array_equal(np.asarray(one.data), np.asarray(two.data))
    export_encoder(f"{folder}/encoder.npz", {"params": restored.params}, {})
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
