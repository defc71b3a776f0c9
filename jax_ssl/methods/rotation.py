"""RotNet: which quarter turn was it given? (Gidaris et al., 2018, arXiv:1803.07728).

Every image is turned by 0, 90, 180 and 270 degrees, and a classifier on the encoder
says of each of the four copies how far it was turned.

Views: [B, H, H, C] float, one of each image.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import optax

from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.views import image

TURNS = 4


class RotationState(NamedTuple):
    """State that RotNet carries beside its params."""

    stats: Any  # Running statistics of the encoder.


def rotation(encoder: nn.Module, views: ViewFn, heads: Heads | None = None) -> Method:
    """Builds RotNet around `encoder`.

    Turned pixels are moved and never interpolated, so that no trace of the resampling
    gives the turn away. All four turns of an image are in the batch, as in the released
    code, and the loss is the mean over them.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the classifier.
        views: one example -> one view of it, square. It must not turn the image; a
            mirror image is no harm.
        heads: modules in the place of those made here, by the name of their part.
    """
    net = Network.of(encoder, heads, classifier=mlp_after(encoder, (TURNS,)))

    def init(key: Array, views: Array) -> tuple[Params, RotationState]:
        params, stats = net.init(key, square(views))
        return params, RotationState(stats)

    def loss(
        params: Params, state: RotationState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[RotationState, Metrics]]:
        del key, step
        out, stats = net.together(params, state.stats, turned(square(views)))
        logits = out["classifier"].astype(jnp.float32)  # [B, 4, 4]
        wanted = jnp.broadcast_to(jnp.arange(TURNS), logits.shape[:2])
        value = optax.softmax_cross_entropy_with_integer_labels(logits, wanted).mean()
        accuracy = (logits.argmax(-1) == wanted).mean()
        return value, (RotationState(stats), {"rotation_accuracy": accuracy})

    def shows(
        params: Params, state: RotationState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        images = examples["view"]
        if images.shape[1] != images.shape[2]:
            return {}
        seen = turned(images)
        out, _ = net.together(params, state.stats, seen, train=False)
        guess = out["classifier"].argmax(-1)
        columns: dict[str, tuple[str, Array]] = {"image": ("view", images)}
        for k in range(TURNS):
            # Turning further by what lacks of a whole turn undoes it.
            back = turned(seen[:, k])[jnp.arange(len(images)), -guess[:, k] % TURNS]
            columns[f"turned by {90 * k}°: as seen"] = "view", seen[:, k]
            columns[f"turned by {90 * k}°: turned back"] = "view", back
        caption = (
            "Each copy beside itself turned back by what the network says: where that "
            "is upright, the network is right."
        )
        return {"Turns and guesses": Shown(columns, caption)}

    kept = net.evaluated(chance=math.log(TURNS))
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)


def turned(images: Array) -> Array:
    """Images [B, H, H, C] turned by 0, 1, 2 and 3 quarters, [B, 4, H, H, C].

    Turns are counter-clockwise, as seen with row 0 at the top.
    """
    turns = [jnp.rot90(images, k, axes=(1, 2)) for k in range(TURNS)]
    return jnp.stack(turns, axis=1)


def square(views: Array) -> Array:
    """The views, [B, H, H, C].

    Raises:
        ValueError: if they are something else, or not square.
    """
    shape = image(views).shape
    if shape[1] != shape[2]:
        raise ValueError(
            f"rotation turns square images, and the views have {shape[1]} x {shape[2]} "
            "pixels; choose a recipe that crops squares, for example "
            "config.views.name = 'random_crops'."
        )
    return views
