"""The words that every other module speaks: arrays, trees, examples, features."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
PyTree: TypeAlias = Any

# What the optimizer moves. Top-level keys are the *parts*: "encoder", "projector", ...
Params: TypeAlias = PyTree
# What a method carries from step to step beside its params: a NamedTuple of arrays.
State: TypeAlias = PyTree
# One row of a data set, {"image": [H, W, C] uint8, "index": [] int32, ...}.
Example: TypeAlias = Mapping[str, Array]
# The same with a leading axis B, its rows sharded over the mesh.
Batch: TypeAlias = Mapping[str, Array]
# What a loss reads. Every leaf is [B, ...]; views of one example lie along axis 1.
Views: TypeAlias = PyTree
# float32 scalars, means over the global batch.
Metrics: TypeAlias = Mapping[str, Array]
# linen variables, {"params": ..., "batch_stats": ...}.
Variables: TypeAlias = Mapping[str, PyTree]
# What networks compute in; their parameters are float32.
ComputeDtype: TypeAlias = Literal["float32", "bfloat16", "float16"]


class Features(NamedTuple):
    """What every encoder returns.

    Attributes:
        pooled: [B, D], for k-NN, probes and joint-embedding heads.
        grid: [B, ..., D]; [B, h, w, D] for images, [B, t, D] for audio.
        pyramid: the outputs of the stages, from fine to coarse, for dense tasks; each
            is laid out like `grid`, with a width of its own. () where there are none.
        prediction: what a task network says of its input (disparity [B, H, W],
            flow [B, H, W, 2] in pixels), or None.
    """

    pooled: Array
    grid: Array
    pyramid: tuple[Array, ...] = ()
    prediction: PyTree = None
