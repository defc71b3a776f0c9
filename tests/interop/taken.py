"""Encoders with random numbers in all of their arrays, to be taken elsewhere."""

import functools

import jax
import numpy as np

from jax_ssl.encoders import ENCODERS
from jax_ssl.interop.out_state import Taken

VIT = {"name": "vit", "dim": 16, "depth": 2, "num_heads": 2, "patch": 4}
VIT |= {"image_size": 16}
MOMENTS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}


def taken(section, size=16, head=None, wrap=lambda encoder: encoder):
    """An encoder with random numbers in all of its arrays."""
    section = dict(section)
    encoder = wrap(ENCODERS[section.pop("name")](**section))
    x = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    init = functools.partial(encoder.init, train=False)
    rng = np.random.default_rng(0)

    def drawn(path, leaf):
        name = jax.tree_util.keystr(path)
        value = 0.2 * rng.standard_normal(leaf.shape)
        if "scale" in name or "var" in name:
            value = 1 + np.abs(value)
        elif "kernel" in name:
            value = value * 5 / np.sqrt(np.prod(leaf.shape[:-1]))
        return value.astype(np.float32)

    abstract = jax.eval_shape(init, jax.random.key(0), x)
    variables = jax.tree_util.tree_map_with_path(drawn, abstract)
    view = {"name": "center_crop", "size": size, "resize": size + 2}
    told = {"shape": [size, size, 3], "view": view, **MOMENTS}
    return Taken(encoder, variables, head, told)


def features(found, x):
    """Our features of standardised images [B, H, W, C]."""
    apply = jax.jit(functools.partial(found.encoder.apply, train=False))
    return jax.tree.map(np.asarray, apply(found.variables, x))
