"""A method, its first params and a batch of random views, compiled once per method."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.network import Network
from tests.images import plain_views
from tests.methods.beginnings import begun

WIDTHS = (8, 16)


def random_views(rng, rows=16, count=2):
    return jnp.asarray(rng.uniform(size=(rows, count, 8, 8, 3)), jnp.float32)


def once_a_setting(build):
    """`build(name, views, encoder, **settings)`, called once for views of one shape.

    What is compiled for a method then serves all tests that ask for the same one. It is
    given zeros for the views.
    """

    @functools.cache
    def built(name, shapes, tree, encoder, settings):
        views = tree.unflatten([jnp.zeros(x.shape, x.dtype) for x in shapes])
        return build(name, views, dict(encoder), **dict(settings))

    @functools.wraps(build)
    def made(name, views, encoder=None, **settings):
        leaves, tree = jax.tree.flatten(views)
        shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves)
        encoder = tuple((encoder or {}).items())
        return built(name, shapes, tree, encoder, tuple(settings.items()))

    return made


@once_a_setting
def made(name, views, encoder, **settings):
    """(method, params, state) of a small encoder."""
    encoder = ENCODERS["convnet"](**{"widths": WIDTHS, **encoder})
    method = METHODS[name](encoder, plain_views, **settings)
    params, state = begun(method, jax.random.key(0), views)
    return method, params, state


def projected(method, params, stats, views, head):
    """Outputs [n, D] of the encoder and `head` behind it, in training mode."""
    net = Network(encoder=method.encoder, projector=head)
    own = {name: params[name] for name in net.parts}
    return net(own, stats, views)[0]["projector"]


@functools.cache
def losses(method):
    """A compiled (params, state, views) -> (value, (state, metrics))."""
    loss = functools.partial(method.loss, key=jax.random.key(1), step=jnp.int32(0))
    return jax.jit(loss)


@functools.cache
def gradient(method):
    """A compiled gradient of the loss in the params."""
    loss = functools.partial(method.loss, key=jax.random.key(1), step=jnp.int32(0))
    return jax.jit(jax.grad(loss, has_aux=True))


def float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)
