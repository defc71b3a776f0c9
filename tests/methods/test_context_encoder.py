"""Context encoders: what is seen, what is asked, and two players in one loss."""

import functools

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.types import Features
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.losses.reconstruction import region_error
from jax_ssl.methods.context_encoder import context_encoder
from jax_ssl.nn.channelwise import ChannelwiseDense
from jax_ssl.ops.holes import center_hole, eroded
from tests.case import Case
from tests.images import one_image
from tests.methods.beginnings import begun
from tests.methods.errors import central_differences, stirred, wide
from tests.methods.test_autoencoder import Flat

SMALL = {"decoder_widths": (8,), "code_dim": 16, "tanh": False, "overlap": 1}
SMALL_JUDGE = {"discriminator_widths": (4, 8)}
CASES = {
    "context_encoder": Case(
        "context_encoder",
        {**SMALL, **SMALL_JUDGE, "region": "irregular", "upsampling": "nearest"}
        | {"decoder_widths": (8,), "bottleneck": "channelwise"},
        one_image,
        learning_rate=0.02,
    ),
    "context_encoder-center": Case(
        "context_encoder",
        {**SMALL, **SMALL_JUDGE, "upsampling": "nearest"},
        one_image,
        learning_rate=0.02,
    ),
}
KEY = jax.random.key(7)


class Dense(nn.Module):
    """An encoder that float64 can follow."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        x = nn.Dense(3, name="dense")(x.reshape(len(x), -1))
        return Features(pooled=x, grid=x[:, None, None])


class Judge(nn.Module):
    """A discriminator that float64 can follow."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        return nn.Dense(1, name="dense")(jnp.square(x.reshape(len(x), -1)))


class Same(nn.Module):
    """Hands on what it reads."""

    def __call__(self, x, *, train):
        return x


def followed(shape=(4, 4, 1), **settings):
    heads = {"bottleneck": Same(), "decoder": Flat(shape), "discriminator": Judge()}
    if not settings.get("adversarial_weight", 1):
        del heads["discriminator"]
    return context_encoder(Dense(), one_image, heads, overlap=1, **settings)


def loss_of(method, params, state, views):
    return method.loss(params, state, views, key=KEY, step=jnp.int32(0))


def halves(params, x, fill, masks, rec, adv):
    """Losses of generator and discriminator, each of all params, in float64."""
    whole, hidden = masks
    seen = np.where(hidden[..., None], fill, x)
    dense = lambda rows, p: rows @ p["kernel"] + p["bias"]
    code = dense(seen.reshape(len(x), -1), params["encoder"]["dense"])
    code = np.where(code > 0, code, 0.2 * code)
    made = dense(code, params["decoder"]["dense"]).reshape(x.shape)
    weight = np.where(hidden, 1, 10) * whole
    error = (weight[..., None] * np.square(made - x)).sum() / whole.sum()
    shown = np.where(whole[..., None], made, x)
    judge = lambda x: dense(
        np.square(x).reshape(len(x), -1), params["discriminator"]["dense"]
    )
    generator = rec * error + adv * np.logaddexp(0, -judge(shown)).mean()
    telling = np.logaddexp(0, -judge(x)) + np.logaddexp(0, judge(shown))
    return generator, telling.mean()


def test_each_player_has_the_gradient_of_its_own_loss_alone(rng):
    fixed = np.zeros((5, 4, 4), bool)
    fixed[:, :3, 1:] = True
    settings = {"reconstruction_weight": 0.7, "adversarial_weight": 0.3}
    heads = {"bottleneck": Same(), "decoder": Flat((4, 4, 1)), "discriminator": Judge()}
    method = context_encoder(
        Dense(),
        one_image,
        heads,
        lambda key, images: jnp.asarray(fixed),
        overlap=1,
        fill=(0.2,),
        **settings,
    )
    views = jnp.asarray(rng.uniform(size=(5, 4, 4, 1)), jnp.float32)
    params, state = begun(method, KEY, views)
    params = stirred(params)
    loss = functools.partial(loss_of, method)
    (value, (_, metrics)), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, state, views
    )
    masks = fixed, np.asarray(eroded(fixed, 1))
    assert masks[1].any()
    assert (masks[1] != fixed).any()
    both = functools.partial(
        halves, x=wide(views), fill=0.2, masks=masks, rec=0.7, adv=0.3
    )
    p = jax.tree.map(wide, params)
    generator, telling = both(p)
    assert float(value) == pytest.approx(generator + telling, rel=1e-5)
    assert float(metrics["generator_loss"]) == pytest.approx(generator, rel=1e-5)
    assert float(metrics["discriminator_loss"]) == pytest.approx(telling, rel=1e-5)
    numeric = [central_differences(lambda q, i=i: both(q)[i], p) for i in (0, 1)]
    for part, own in gradient.items():
        wanted = numeric[part == "discriminator"][part]
        flat = lambda tree: jax.flatten_util.ravel_pytree(tree)[0]
        if not jax.tree.leaves(own):
            continue
        off = np.linalg.norm(wide(flat(own)) - flat(wanted))
        assert off < 1e-5 * np.linalg.norm(flat(wanted)), part


def test_visible_pixels_have_no_part_in_the_loss(rng):
    draw = lambda: jnp.asarray(rng.normal(size=(3, 8, 8, 2)), jnp.float32)
    prediction, target = draw(), draw()
    whole = center_hole(3, 8, 8)
    weight = jnp.where(eroded(whole, 1), 1.0, 10.0)
    gradient = jax.grad(region_error)(prediction, target, whole, weight)
    np.testing.assert_array_equal(np.asarray(gradient != 0).all(-1), whole)
    expected = 2 * (prediction - target) * weight[..., None] / (3 * 16 * 2)
    np.testing.assert_allclose(
        gradient[np.asarray(whole)], expected[np.asarray(whole)], rtol=1e-5
    )
    assert region_error(target, target, whole, weight) == 0


@pytest.mark.parametrize("region", ["center", "blocks", "irregular"])
def test_hidden_pixels_are_not_seen(rng, region):
    """What the decoder says is the same of images that differ only where it is dark."""
    method = context_encoder(
        ConvNet(widths=(4, 8)),
        one_image,
        region=region,
        reconstruction_weight=1.0,
        adversarial_weight=0.0,
        # Erosion by a pixel would leave nothing of blocks of one.
        **{**SMALL, "area": 0.5, "overlap": int(region == "center")},
    )
    views = jnp.asarray(rng.uniform(size=(3, 8, 8, 3)), jnp.float32)
    params, state = begun(method, KEY, views)

    @jax.jit
    def shown(views):
        (found,) = method.shows(params, state, {"view": views}, KEY).values()
        return {name: x for name, (_, x) in found.columns.items()}

    first = shown(views)
    whole = np.asarray(first["prediction"] != views).any(-1)
    dark = np.asarray(first["input"] == 0).all(-1)
    assert dark.any()
    assert (dark <= whole).all()
    other = shown(jnp.where(dark[..., None], 0.5 * views + 3, views))
    np.testing.assert_array_equal(other["prediction"], first["prediction"])
    np.testing.assert_array_equal(first["truth"], views)


def test_a_blind_discriminator_is_at_chance(rng):
    method = followed((2, 2, 1))
    views = jnp.asarray(rng.uniform(size=(4, 4, 4, 1)), jnp.float32)
    params, state = begun(method, KEY, views)
    params["discriminator"] = jax.tree.map(jnp.zeros_like, params["discriminator"])
    _, (_, metrics) = loss_of(method, params, state, views)
    assert float(metrics["discriminator_loss"]) == pytest.approx(2 * np.log(2))
    assert float(metrics["adversarial_loss"]) == pytest.approx(np.log(2))
    wanted = 0.999 * metrics["reconstruction_loss"] + 0.001 * np.log(2)
    assert float(metrics["generator_loss"]) == pytest.approx(float(wanted), rel=1e-6)


def test_without_an_adversary_there_is_none():
    method = followed((2, 2, 1), adversarial_weight=0.0)
    params, state = begun(method, KEY, jnp.ones((2, 4, 4, 1)))
    assert set(params) == {"encoder", "bottleneck", "decoder"}
    assert set(loss_of(method, params, state, jnp.ones((2, 4, 4, 1)))[1][1]) == {
        "reconstruction_loss",
        "fill_loss",
    }


def test_channelwise_layer_has_a_matrix_a_channel(rng):
    layer, x = ChannelwiseDense(), rng.normal(size=(2, 3, 3, 5)).astype(np.float32)
    params = layer.init(KEY, x, train=False)["params"]
    (kernel,) = jax.tree.leaves(params)
    assert kernel.size == 5 * 3**4
    found = layer.apply({"params": params}, x, train=False)
    for c in range(5):
        expected = x[..., c].reshape(2, 9) @ np.asarray(kernel)[:, :, c]
        np.testing.assert_allclose(found[..., c].reshape(2, 9), expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"area": 1.0}, r"area = 1.0 must be in \(0, 1\)"),
        ({"overlap": -1}, "overlap = -1 must be at least 0"),
        (
            {"reconstruction_weight": 0.0, "adversarial_weight": 0.0},
            "leave no loss; .*config.method.reconstruction_weight",
        ),
        ({"heads": {"code": None}}, "no 'code'; its heads are bottleneck, discr"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        context_encoder(ConvNet(widths=(4, 8)), one_image, **settings)


def test_fill_of_another_number_of_channels_is_refused():
    method = context_encoder(
        ConvNet(widths=(4, 8)), one_image, fill=(0.1, 0.2), **SMALL, **SMALL_JUDGE
    )
    views = jnp.ones((2, 8, 8, 3))
    with pytest.raises(ValueError, match=r"2 numbers for images of 3 channels"):
        jax.eval_shape(lambda: loss_of(method, *method.init(KEY, views), views))
