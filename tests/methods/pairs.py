"""A method, its first params and a batch of random views, compiled once per method."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.network import Network
from tests.images import plain_views

WIDTHS = (8, 16)


def random_views(rng, rows=16, count=2):
    return jnp.asarray(rng.uniform(size=(rows, count, 8, 8, 3)), jnp.float32)


def made(name, views, encoder=None, **settings):
    """(method, params, state) of a small encoder."""
    encoder = ENCODERS["convnet"](**{"widths": WIDTHS, **(encoder or {})})
    method = METHODS[name](encoder, plain_views, **settings)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    return method, params, state


def projected(method, params, stats, views, head):
    """Outputs [n, D] of the encoder and `head` behind it, in training mode."""
    net = Network(encoder=method.encoder, projector=head)
    own = {name: params[name] for name in net.parts}
    return net(own, stats, views)[0]["projector"]


def losses(method):
    """A compiled (params, state, views) -> (value, (state, metrics))."""
    loss = functools.partial(method.loss, key=jax.random.key(1), step=jnp.int32(0))
    return jax.jit(loss)


def gradient(method):
    """A compiled gradient of the loss in the params."""
    loss = functools.partial(method.loss, key=jax.random.key(1), step=jnp.int32(0))
    return jax.jit(jax.grad(loss, has_aux=True))


def float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)
