"""The mean of a prediction and that of the mirrored picture.

Godard et al. (2017, arXiv:1609.03677): at the left edges of objects and of the picture,
where the other camera saw nothing, one of the two is wrong and the other is right.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from jax_ssl.core.method import PredictFn
from jax_ssl.core.types import Array, Params, State, Views
from jax_ssl.evaluate.maps import TINY

SIDE = 0.05  # Share of the width where one of the two stands alone.
MATRICES = ("intrinsics", "left_camera", "right_camera")


def mirrored_mean(predict: PredictFn, *, inverse: bool = False) -> PredictFn:
    """A disparity [B, h, w] as the mean over both pictures, in ramps at the sides.

    Args:
        predict: makes the disparity.
        inverse: it makes a depth, whose inverse is meant.
    """

    def both(params: Params, state: State, seen: Views) -> Array:
        pair = [predict(params, state, seen)]
        pair.append(jnp.flip(predict(params, state, mirrored(seen)), axis=-1))
        if inverse:
            pair = [1 / jnp.maximum(depth, TINY) for depth in pair]
        place = jnp.linspace(0.0, 1.0, pair[0].shape[-1])
        left = 1 - jnp.clip((place - SIDE) / SIDE, 0, 1)
        right = left[::-1]
        whole = right * pair[0] + left * pair[1]
        whole = whole + (1 - left - right) * (pair[0] + pair[1]) / 2
        return 1 / jnp.maximum(whole, TINY) if inverse else whole

    return both


def mirrored(seen: Views) -> Views:
    """A batch of the evaluation's view in a mirror, each camera staying what it is.

    A network that reads one picture then sees it mirrored.
    """
    if not isinstance(seen, Mapping):
        return jnp.flip(seen, axis=-2)
    pictures = {n: x for n, x in seen.items() if x.ndim > 3}
    width = next(iter(pictures.values())).shape[-2]
    found = {**seen, **{n: jnp.flip(x, axis=-2) for n, x in pictures.items()}}
    for name in (n for n in MATRICES if n in seen):
        matrix = seen[name]
        first = (width - 1) * matrix[..., 2, :] - matrix[..., 0, :]
        turned = matrix.at[..., 0, :].set(first)
        found[name] = turned.at[..., 0].multiply(-1.0)
    return found
