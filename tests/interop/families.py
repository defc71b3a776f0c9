"""Cases of `record_families`: names and shapes of files, filled by a formula."""

import functools
import json
import pathlib

import numpy as np

from tests.references.encoders_torch import fill

PATH = pathlib.Path(__file__).parent / "records" / "families.json"


@functools.cache
def recorded():
    """What was recorded, by case."""
    return json.loads(PATH.read_text())


def filled(shapes):
    """Arrays of these names and shapes; those that mean something have their meaning.

    float32, but for counters.
    """
    found = {}
    for name, shape in shapes.items():
        if name.endswith(("num_batches_tracked", "queue_ptr")):
            found[name] = np.zeros(shape, np.int64)
        elif name.endswith("bias_mask"):
            third = shape[0] // 3
            found[name] = np.repeat([1.0, 0.0, 1.0], third).astype(np.float32)
        elif name.endswith("rope_embed.periods"):
            found[name] = (100 ** (np.arange(*shape) / shape[0])).astype(np.float32)
        elif name.endswith("pos_embedding"):
            found[name] = 0.1 * fill(name, tuple(shape))
        else:
            found[name] = fill(name, tuple(shape))
    return found
