"""BiGAN: each player's own gradient in one loss, chance, and the fixed point."""

import functools

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.encoders.dense import DenseEncoder
from jax_ssl.methods.bigan import bigan
from tests.case import Case
from tests.images import one_image
from tests.methods.beginnings import begun
from tests.methods.errors import central_differences, stirred, wide
from tests.methods.test_autoencoder import Flat

SMALL = {
    "latent_dim": 4,
    "generator_widths": (8,),
    "discriminator_widths": (4, 8),
    "hidden_dim": 16,
}
CASES = {
    # The players' losses together are at least what they are by chance, ln 2 each, and
    # 1 for each score of the hinge: what falls is the regression of the codes.
    "bigan": Case(
        "bigan",
        {**SMALL, "upsampling": "nearest", "regression_weight": 3.0},
        one_image,
        least_loss=2 * np.log(2),
        learning_rate=0.01,
    ),
    "bigan-big": Case(
        "bigan",
        {**SMALL, "upsampling": "nearest", "regression_weight": 3.0}
        | {"objective": "hinge", "unary": True},
        one_image,
        least_loss=3.0,
        learning_rate=0.01,
    ),
}
KEY = jax.random.key(3)


class Judge(nn.Module):
    """A discriminator of pairs that float64 can follow, with S scores."""

    count: int = 1

    @nn.compact
    def __call__(self, x, z, *, train):
        del train
        pair = jnp.concatenate([x.reshape(len(x), -1), z], axis=-1)
        hidden = jnp.tanh(nn.Dense(5, name="first")(pair))
        return nn.Dense(self.count, name="last")(hidden)


def followed(count=1, **settings):
    heads = {"generator": Flat((2, 2, 1)), "discriminator": Judge(count)}
    return bigan(DenseEncoder(widths=(3,)), one_image, heads, latent_dim=2, **settings)


def loss_of(method, params, state, views):
    return method.loss(params, state, views, key=KEY, step=jnp.int32(0))


def halves(params, x, z, objective, regression):
    """Losses of encoder and generator, and of the discriminator, in float64."""
    dense = lambda rows, p: rows @ p["kernel"] + p["bias"]

    def encode(rows):
        features = np.maximum(dense(rows, params["encoder"]["dense0"]), 0)
        return dense(features, params["latent"]["dense0"])

    rows = x.reshape(len(x), -1)
    made = dense(z, params["generator"]["dense"])

    def judge(rows, z):
        pair = np.tanh(dense(np.hstack([rows, z]), params["discriminator"]["first"]))
        return dense(pair, params["discriminator"]["last"])

    true, false = judge(rows, encode(rows)), judge(made, z)
    mean = lambda scores: scores.sum(1).mean()
    if objective == "logistic":
        p, q = 1 / (1 + np.exp(-true)), 1 / (1 + np.exp(-false))
        deceiving = -mean(np.log(1 - p)) - mean(np.log(q))
        telling = -mean(np.log(p)) - mean(np.log(1 - q))
    else:
        deceiving = mean(true) - mean(false)
        telling = mean(np.maximum(0, 1 - true)) + mean(np.maximum(0, 1 + false))
    distance = np.square(encode(made) - z).mean()
    return deceiving / 2, telling / 2, regression * distance


@pytest.mark.parametrize(("objective", "count"), [("logistic", 1), ("hinge", 3)])
@pytest.mark.parametrize("regression", [0.0, 0.5])
def test_each_player_has_the_gradient_of_its_own_loss_alone(
    rng, objective, count, regression
):
    method = followed(count, objective=objective, regression_weight=regression)
    views = jnp.asarray(rng.uniform(size=(5, 2, 2, 1)), jnp.float32)
    params, state = begun(method, KEY, views)
    params = stirred(params)
    loss = functools.partial(loss_of, method)
    (value, (_, metrics)), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, state, views
    )
    z = wide(jax.random.uniform(KEY, (5, 2), minval=-1.0))
    reference = functools.partial(
        halves, x=wide(views), z=z, objective=objective, regression=regression
    )
    p = jax.tree.map(wide, params)
    deceiving, telling, distance = reference(p)
    whole = deceiving + telling + distance
    assert float(value) == pytest.approx(whole, rel=1e-5)
    assert float(metrics["generator_loss"]) == pytest.approx(deceiving, rel=1e-5)
    assert float(metrics["discriminator_loss"]) == pytest.approx(telling, rel=1e-5)
    # The regression teaches the encoder alone.
    of = {
        "encoder": lambda q: reference(q)[0] + reference(q)[2],
        "latent": lambda q: reference(q)[0] + reference(q)[2],
        "generator": lambda q: reference(q)[0],
        "discriminator": lambda q: reference(q)[1],
    }
    assert set(gradient) == set(of)
    flat = lambda tree: jax.flatten_util.ravel_pytree(tree)[0]
    for part, own in gradient.items():
        numeric = central_differences(
            lambda q, part=part: of[part]({**p, part: q}), p[part]
        )
        off = np.linalg.norm(wide(flat(own)) - flat(numeric))
        assert off < 1e-5 * np.linalg.norm(flat(numeric)), part


@pytest.mark.parametrize("unary", [False, True])
def test_both_players_begin_at_chance(rng, unary):
    method = bigan(ConvNet(widths=(4, 8)), one_image, unary=unary, **SMALL)
    views = jnp.asarray(rng.normal(size=(8, 8, 8, 3)), jnp.float32)
    params, state = begun(method, KEY, views)
    _, (_, metrics) = jax.jit(functools.partial(loss_of, method))(params, state, views)
    chance = np.log(2) * (3 if unary else 1)
    for name in ("generator_loss", "discriminator_loss"):
        assert float(metrics[name]) == pytest.approx(chance, rel=0.01), name


def test_inverses_are_a_fixed_point():
    """X = Z, E and G the identity, the best D ½ everywhere: nobody has a gradient."""

    class Even(nn.Module):
        @nn.compact
        def __call__(self, x, z, *, train):
            return 0 * nn.Dense(1, name="d")(jnp.hstack([x.reshape(len(x), -1), z]))

    heads = {"generator": Flat((1, 2, 1)), "discriminator": Even()}
    encoder = DenseEncoder(widths=(2,), activation="linear")
    method = bigan(encoder, one_image, heads, latent_dim=2)
    views = jax.random.uniform(KEY, (6, 2), minval=-1.0).reshape(6, 1, 2, 1)
    params, state = begun(method, KEY, views)
    identity = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    params["encoder"]["dense0"] = params["latent"]["dense0"] = identity
    params["generator"]["dense"] = identity
    loss = functools.partial(loss_of, method)
    (_, (_, metrics)), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, state, views
    )
    for part in ("encoder", "latent", "generator"):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient[part]))
    # V = -2 ln 2, of which the loss is half, with the other sign.
    assert float(metrics["discriminator_loss"]) == pytest.approx(np.log(2))
    (shown,) = method.shows(params, state, {"view": views}, KEY).values()
    np.testing.assert_allclose(shown.columns["G(E(x))"][1], views, rtol=1e-6)


def test_images_of_codes_are_shown():
    views = jax.ShapeDtypeStruct((3, 8, 8, 3), jnp.float32)
    method = bigan(ConvNet(widths=(4, 8)), one_image, **SMALL)

    def shown(views):
        params, state = method.init(KEY, views)
        (found,) = method.shows(params, state, {"view": views}, KEY).values()
        assert list(found.columns)[:3] == ["x", "G(E(x))", "of random codes: 1"]
        pictures = [x for _, x in found.columns.values()]
        return pictures, method.health.project(params, state, views)

    pictures, code = jax.eval_shape(shown, views)
    assert all(x.shape == views.shape for x in pictures)
    assert code.shape == (3, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent_dim": 0}, "latent_dim = 0 must be at least 1"),
        ({"regression_weight": -1.0}, "regression_weight = -1.0 must be at least 0"),
        ({"heads": {"decoder": None}}, "no 'decoder'; its heads are latent, generator"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        bigan(ConvNet(widths=(4, 8)), one_image, **settings)
