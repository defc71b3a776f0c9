"""First variables without compiling their initialisers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# Compiles many times faster than threefry, and is as good where the draws are not
# compared with those of another run.
KEY = functools.partial(jax.random.key, impl="rbg")


def abstract_variables(encoder, x):
    """Shapes and dtypes of all variables."""
    init = functools.partial(encoder.init, train=False)
    return jax.eval_shape(init, KEY(0), x)


def random_variables(encoder, x, seed=0):
    """(params, stats) drawn by NumPy; kernels keep the size of activations."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            value = rng.uniform(0.5, 1.5, leaf.shape)
        elif name == "kernel":
            value = rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape)
        else:
            value = rng.normal(0, 0.3, leaf.shape)
        return jnp.asarray(value, leaf.dtype)

    abstract = abstract_variables(encoder, x)
    variables = jax.tree_util.tree_map_with_path(draw, abstract)
    return variables.pop("params"), variables
