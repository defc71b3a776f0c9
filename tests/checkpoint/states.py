"""A TrainState with every awkward kind of leaf, for the tests of this folder."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.core.state import TrainState
from jax_ssl.parallel.mesh import make_mesh


def mesh_of(devices):
    """All of `devices` devices, parameters split over two where there are two."""
    return make_mesh(devices=jax.devices()[:devices], fsdp=min(devices, 2))


def train_state(step=3, width=8, seed=0):
    """Labels with slashes, bfloat16, key arrays, an empty queue, slots by regex."""
    key = jax.random.key(seed)
    params = {
        "encoder": {
            "kernel": jax.random.normal(key, (width, 8)),
            "half": jax.random.normal(key, (6,), jnp.bfloat16),
        },
        "head/0": jax.random.normal(key, (5,)),
    }
    labels = {"encoder": {"kernel": "^encoder/", "half": ""}, "head/0": ""}
    tx = optax.partition(
        {"^encoder/": optax.adamw(1e-3), "": optax.sgd(0.1, momentum=0.9)}, labels
    )
    state = {
        "teacher": jax.tree.map(lambda x: 2 * x, params),
        "counts": jnp.arange(4),
        "on": jnp.asarray([True, False]),
        "queue": jnp.zeros((0, 4)),
        "keys": jax.random.split(key, 4),
    }
    return TrainState(
        step=jnp.int32(step),
        params=params,
        opt_state=tx.init(params),
        state=state,
        key=jax.random.fold_in(key, 9),
    )


def shardings(tree, mesh):
    def where(leaf):
        split = leaf.ndim == 2 and leaf.size
        return NamedSharding(mesh, P("fsdp") if split else P())

    return jax.tree.map(where, tree)


def put(tree, devices):
    return jax.device_put(tree, shardings(tree, mesh_of(devices)))


def abstract(tree, devices):
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=where
        ),
        tree,
        shardings(tree, mesh_of(devices)),
    )


def bits(leaf):
    """Exactly what `leaf` holds, with keys as their words."""
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    return array.dtype.name, array.shape, array.tobytes()


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert [bits(x) for x in jax.tree.leaves(a)] == [
        bits(x) for x in jax.tree.leaves(b)
    ]
