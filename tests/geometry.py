"""A method that predicts everything, badly, for tests of what uses predictions."""

import jax
import jax.numpy as jnp

from jax_ssl.core.method import Method
from jax_ssl.nn.network import Network, StatsState
from jax_ssl.ops.resize import resize


def geometry(encoder, views):
    """Maps are the mean of the encoder's grid, brought to the size of the view."""
    net = Network.of(encoder, None)

    def looks(views):
        frames = views["inputs"] if "inputs" in views else views["left_inputs"]
        return frames[:, (frames.shape[1] - 1) // 2]

    def init(key, views):
        params, stats = net.init(key, looks(views))
        return params, StatsState(stats)

    def loss(params, state, views, *, key, step):
        del key, step
        out, stats = net(params, state.stats, looks(views), train=True)
        value = jnp.square(out["encoder"].pooled).mean()
        return value, (StatsState({**state.stats, **stats}), {})

    def grey(params, state, seen):
        image = looks(seen)
        out, _ = net(params, state.stats, image, train=False)
        values = jax.nn.sigmoid(out["encoder"].grid.mean(-1, keepdims=True))
        both = jax.vmap(lambda x: resize(x, *image.shape[1:3]))(values)
        return (both + image.mean(-1, keepdims=True))[..., 0]

    def poses(params, state, seen):
        count = seen["inputs"].shape[1]
        forward = (
            jnp.arange(count, dtype=jnp.float32)[None]
            * grey(params, state, seen).mean((1, 2), keepdims=False)[:, None]
        )
        still = jnp.broadcast_to(jnp.eye(3, 4), (*forward.shape, 3, 4))
        return still.at[..., 2, 3].set(forward)

    def flow(*given):
        return jnp.stack([grey(*given), -grey(*given)], axis=-1)

    predicts = {
        "depth": lambda *given: 5 * grey(*given),
        "disparity": lambda *given: 3 * grey(*given),
        "flow": flow,
        "poses": poses,
        "segmentation": lambda *given: jnp.stack([grey(*given), 1 - grey(*given)], -1),
    }
    return Method(
        views=views, init=init, loss=loss, predicts=predicts, **net.evaluated()
    )
