"""Autoencoders beside float64, PCA, and each other."""

import functools

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.encoders.dense import DenseEncoder
from jax_ssl.methods.autoencoder import autoencoder, corrupted
from jax_ssl.nn.apply import initialize
from tests.case import Case
from tests.images import one_image
from tests.methods.beginnings import begun
from tests.methods.errors import central_differences, relative, stirred, wide

SMALL = {"decoder_widths": (16,), "code_dim": 8}
CASES = {
    "autoencoder": Case(
        "autoencoder",
        {**SMALL, "corruption": "masking", "contraction_weight": 1e-4},
        one_image,
        learning_rate=0.05,
    ),
    "autoencoder-contractive": Case(
        "autoencoder",
        {"decoder_widths": (16,), "contraction_weight": 0.01, "jacobian": "exact"},
        one_image,
        encoder={"name": "dense", "widths": (16,), "activation": "sigmoid"},
        learning_rate=0.05,
    ),
}
KEY = jax.random.key(2)


class Flat(nn.Module):
    """A decoder that float64 can follow: one dense layer."""

    shape: tuple = (3, 3, 1)

    @nn.compact
    def __call__(self, x, *, train):
        del train
        values = nn.Dense(int(np.prod(self.shape)), name="dense")(x)
        return values.reshape(-1, *self.shape)


def loss_of(method, params, state, views, key=KEY):
    return method.loss(params, state, views, key=key, step=jnp.int32(0))


def gradient_of(method, params, state, views):
    loss = functools.partial(loss_of, method)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(params, state, views)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(params, seen, clean, objective, weight):
    """The loss of a sigmoid layer and a dense decoder, with the exact penalty."""
    first, last = params["encoder"]["dense0"], params["decoder"]["dense"]
    rows = len(seen)
    code = sigmoid(seen.reshape(rows, -1) @ first["kernel"] + first["bias"])
    shown, x = code @ last["kernel"] + last["bias"], clean.reshape(rows, -1)
    error = np.square(x - shown)
    if objective == "cross_entropy":
        error = np.logaddexp(0, shown) - x * shown
    norm = (np.square(code * (1 - code)) @ np.square(first["kernel"]).sum(0)).mean()
    return error.mean() + weight * norm


@pytest.mark.parametrize("objective", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("corruption", ["none", "gaussian", "masking"])
def test_loss_and_gradient_are_the_references(rng, objective, corruption):
    method = autoencoder(
        DenseEncoder(widths=(4,), activation="sigmoid"),
        one_image,
        {"decoder": Flat()},
        objective=objective,
        corruption=corruption,
        contraction_weight=0.3,
        jacobian="exact",
    )
    views = jnp.asarray(rng.uniform(size=(5, 3, 3, 1)), jnp.float32)
    params, state = begun(method, KEY, views)
    params = stirred(params)
    (value, _), gradient = gradient_of(method, params, state, views)
    seen = corrupted(jax.random.split(KEY)[0], views, corruption, 0.25)
    loss = functools.partial(
        reference,
        seen=wide(seen),
        clean=wide(views),
        objective=objective,
        weight=0.3,
    )
    p = jax.tree.map(wide, params)
    assert relative(value, loss(p)) < 1e-5
    flat = lambda tree: jax.flatten_util.ravel_pytree(tree)[0]
    numeric = flat(central_differences(loss, p))
    off = np.linalg.norm(wide(flat(gradient)) - numeric)
    assert off < 1e-5 * np.linalg.norm(numeric)


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper"])
def test_no_corruption_is_the_plain_autoencoder_bit_for_bit(rng, corruption):
    views = jnp.asarray(rng.uniform(size=(4, 8, 8, 3)), jnp.float32)
    plain = autoencoder(ConvNet(widths=(4, 8)), one_image, **SMALL)
    noisy = autoencoder(
        ConvNet(widths=(4, 8)),
        one_image,
        corruption=corruption,
        corruption_amount=0.0,
        **SMALL,
    )
    params, state = jax.jit(plain.init)(KEY, views)
    values = [
        jax.jit(functools.partial(loss_of, method))(params, state, views)[0]
        for method in (plain, noisy)
    ]
    assert values[0] == values[1]


def test_target_is_the_clean_image():
    """A decoder that always says the clean images has no loss, whatever is seen."""
    views = jnp.full((4, 3, 3, 1), 0.7)
    method = autoencoder(
        DenseEncoder(widths=(4,)),
        one_image,
        {"decoder": Flat()},
        corruption="salt_and_pepper",
        corruption_amount=0.5,
    )
    params, state = begun(method, KEY, views)
    params["decoder"]["dense"] = {"kernel": jnp.zeros((4, 9)), "bias": jnp.full(9, 0.7)}
    assert loss_of(method, params, state, views)[0] < 1e-12


def test_linear_autoencoder_is_pca(rng):
    """It ends at the discarded variances, in the span of the leading directions."""
    k, scales = 2, np.array([3.0, 2.0, 1.0, 0.7, 0.4, 0.2])
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    x = (rng.normal(size=(200, 6)) * scales) @ rotation
    x = x - x.mean(0)
    _, singular, directions = np.linalg.svd(x, full_matrices=False)
    residual = np.square(singular[k:]).sum() / x.size
    views = jnp.asarray(x.reshape(200, 2, 3, 1), jnp.float32)
    method = autoencoder(
        DenseEncoder(widths=(k,), activation="linear"),
        one_image,
        {"decoder": Flat((2, 3, 1))},
    )
    params, state = begun(method, KEY, views)
    tx = optax.adam(optax.cosine_decay_schedule(0.02, 4000))

    @jax.jit
    def trained(params):
        def step(carry, _):
            params, slots = carry
            grad = jax.grad(lambda p: loss_of(method, p, state, views)[0])(params)
            updates, slots = tx.update(grad, slots)
            return (optax.apply_updates(params, updates), slots), None

        (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), length=4000)
        return params, loss_of(method, params, state, views)

    params, (value, (_, metrics)) = trained(params)
    assert value == pytest.approx(residual, rel=1e-4)
    explained = 1 - residual / np.square(x).mean()
    assert metrics["explained_variance"] == pytest.approx(explained, rel=1e-3)
    span, _ = np.linalg.qr(wide(params["decoder"]["dense"]["kernel"]).T)
    cosines = np.linalg.svd(directions[:k] @ span, compute_uv=False)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_pictures_are_the_clean_image_what_is_seen_and_the_decoders(rng):
    views = jnp.asarray(rng.uniform(size=(2, 8, 8, 3)), jnp.float32)
    method = autoencoder(
        ConvNet(widths=(4, 8)), one_image, corruption="masking", **SMALL
    )
    params, state = begun(method, KEY, views)
    (shown,) = method.shows(params, state, {"view": views}, KEY).values()
    assert list(shown.columns) == ["clean", "corrupted", "reconstruction"]
    arrays = [array for _, array in shown.columns.values()]
    assert all(array.shape == views.shape for array in arrays)
    lost = np.asarray(arrays[1] != views).all(-1)
    assert 0.1 < lost.mean() < 0.4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jacobian": "exact"}, r"one sigmoid layer alone; .*activation='sigmoid'"),
        (
            {"corruption": "masking", "corruption_amount": 1.5},
            "amount = 1.5 must be in",
        ),
        ({"contraction_weight": -1.0}, "contraction_weight = -1.0 must be at least 0"),
        ({"code_dim": 0}, "code_dim = 0 must be at least 1"),
        (
            {"decoder_widths": ()},
            r"decoder_widths = \(\) must hold at least one number",
        ),
        ({"heads": {"head": None}}, "no 'head'; its heads are decoder"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        autoencoder(ConvNet(widths=(4, 8)), one_image, **settings)


def test_an_encoder_of_another_kind_has_no_exact_norm():
    assert initialize(DenseEncoder(widths=(4,)), KEY, jnp.ones((1, 2, 2, 1)))[1] == {}
    for encoder in (
        DenseEncoder(widths=(4, 4), activation="sigmoid"),
        DenseEncoder(widths=(4,)),
    ):
        with pytest.raises(ValueError, match="one sigmoid layer alone"):
            autoencoder(encoder, one_image, jacobian="exact")
