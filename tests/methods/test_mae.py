"""MAE's own laws; the battery is in `tests/test_contract.py`."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.methods.mae import Autoencoder, reconstruct
from jax_ssl.methods.mae import draw as drawn
from jax_ssl.nn.decoder import Decoder
from jax_ssl.nn.network import StatsState
from jax_ssl.ops.normalize import standardize
from jax_ssl.ops.patches import patchify, unpatchify
from jax_ssl.ops.positions import sincos_positions
from jax_ssl.train.flops import live_flops
from tests.case import Case
from tests.images import SIZE, one_image
from tests.methods.errors import central_differences, stirred, wide
from tests.references import masked as reference

PATCH = 2
TINY = {
    "dim": 16,
    "depth": 1,
    "num_heads": 2,
    "patch": PATCH,
    "image_size": 8,
    "positions": "sincos",
    "scheme": "mae",
}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
VIT = ENCODERS["vit"](**TINY)
NETWORK = Autoencoder(VIT, Decoder(width=16, depth=1, num_heads=2))
KEY = jax.random.key(3)
draw = jax.jit(drawn, static_argnums=(2, 3))
# The encoder with tokens at all places, as in BERT.
FULL = VIT.clone(mask_token=True)
FULL_NETWORK = Autoencoder(FULL, Decoder(width=16, depth=1, num_heads=2), "all")

CASES = {
    "mae-all": Case(
        "mae",
        {**DECODER, "decoder_depth": 0, "encode": "all", "mask_ratio": 0.25},
        one_image,
        encoder={"name": "vit", **TINY, "image_size": SIZE, "mask_token": True},
        share=0.6,
        learning_rate=0.03,
    ),
}


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(0).uniform(size=(3, 8, 8, 3)), jnp.float32)


@pytest.fixture(scope="module")
def params(images):
    patches = draw(KEY, images, PATCH, 0.75)
    init = functools.partial(NETWORK.init, train=False)
    found = jax.jit(init)(jax.random.key(1), images, patches.keep, patches.restore)
    return found["params"]


@jax.jit
def predictions(params, images, keep, restore):
    return NETWORK.apply({"params": params}, images, keep, restore, train=True)


def repainted(images, mask):
    """Other pixels where the mask [B, N] is True."""
    patches = jnp.where(mask[..., None], 7.0, patchify(images, PATCH))
    return unpatchify(patches, PATCH, (4, 4))


@pytest.mark.parametrize("norm_pix", [True, False])
def test_loss_and_metrics_are_the_references(images, params, norm_pix):
    method = METHODS["mae"](VIT, one_image, norm_pix=norm_pix, **DECODER)
    state = StatsState({})
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=0))
    value, (after, metrics) = loss(params, state, images)
    assert after == state
    keep, restore, mask = draw(KEY, images, PATCH, 0.75)
    found = predictions(params, images, keep, restore)
    target = patchify(images, PATCH)
    target = reference.standardized(target) if norm_pix else target
    mask = np.asarray(mask)
    expected = reference.masked_mse(found, target, mask)[0]
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    seen = reference.masked_mse(found, target, ~mask)[0]
    np.testing.assert_allclose(metrics["visible_loss"], seen, rtol=1e-5)
    nothing = 11 / 12 if norm_pix else np.square(target)[mask].mean()
    np.testing.assert_allclose(metrics["zero_loss"], nothing, rtol=2e-4)


def test_nobody_sees_the_hidden_pixels(images, params):
    keep, restore, mask = draw(KEY, images, PATCH, 0.75)
    seen = predictions(params, images, keep, restore)
    blind = predictions(params, repainted(images, mask), keep, restore)
    np.testing.assert_array_equal(seen, blind)
    changed = predictions(params, repainted(images, ~mask), keep, restore)
    assert np.abs(changed - seen).max() > 1e-3


def test_order_in_which_patches_enter_changes_nothing(images, params):
    keep, restore, mask = draw(KEY, images, PATCH, 0.75)
    expected = predictions(params, images, keep, restore)
    turned = keep[:, ::-1]
    # Patch n was in place restore[n] of the sequence; the visible places turn around.
    places = jnp.where(restore < 4, 3 - restore, restore)
    found = predictions(params, images, turned, places)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (np.asarray(mask).sum(axis=1) == 12).all()


def test_hidden_patches_are_told_apart_by_their_positions(images, params):
    keep, restore, mask = draw(KEY, images, PATCH, 0.75)
    found = np.asarray(predictions(params, images, keep, restore))
    hidden = found[0][np.asarray(mask[0])]
    distances = np.abs(hidden[:, None] - hidden).max(axis=-1)
    assert distances[~np.eye(len(hidden), dtype=bool)].min() > 1e-3


def test_all_parts_learn_and_the_mask_token_too(images, params):
    method = METHODS["mae"](VIT, one_image, **DECODER)

    def value(params):
        return method.loss(params, StatsState({}), images, key=KEY, step=0)[0]

    gradient = jax.jit(jax.grad(value))(params)
    assert set(gradient) == {"encoder", "decoder"}
    assert np.abs(gradient["decoder"]["mask_token"]).max() > 1e-4
    assert np.abs(gradient["encoder"]["patch_embed"]["kernel"]).max() > 1e-4
    assert np.abs(gradient["encoder"]["class_token"]).max() > 1e-5
    assert "position_embed" not in gradient["encoder"]


def test_first_weights_are_the_published_ones():
    decoder = Decoder(width=128, depth=1, num_heads=4)
    tokens, restore = jnp.zeros((1, 5, 64)), jnp.arange(16)[None]
    init = functools.partial(decoder.init, grid=(4, 4), values=12, train=False)
    decoder = jax.jit(init)(KEY, tokens, restore)["params"]
    assert decoder["mask_token"].shape == (1, 128)
    np.testing.assert_allclose(decoder["mask_token"].std(), 0.02, rtol=0.2)
    for layer, (i, o) in {"embed": (64, 128), "pixels": (128, 12)}.items():
        kernel = decoder[layer]["kernel"]
        assert kernel.shape == (i, o)
        bound = np.sqrt(6 / (i + o))
        assert 0.98 * bound < np.abs(kernel).max() <= bound
        assert not decoder[layer]["bias"].any()


def test_colour_of_an_image_is_found_from_its_visible_patches():
    """What no position tells: only looking at other patches brings the loss down."""
    method = METHODS["mae"](VIT, one_image, norm_pix=False, **DECODER)
    tx = optax.adam(3e-3)

    def batch(key):
        colours = jax.random.normal(key, (32, 1, 1, 3))
        return jnp.broadcast_to(colours, (32, 8, 8, 3))

    @jax.jit
    def trained(key):
        first, state = method.init(key, batch(key))

        def step(carry, key):
            params, slots = carry
            value, gradient = jax.value_and_grad(
                lambda p: method.loss(p, state, batch(key), key=key, step=0)[0]
            )(params)
            updates, slots = tx.update(gradient, slots)
            return (optax.apply_updates(params, updates), slots), value

        keys = jax.random.split(key, 200)
        return jax.lax.scan(step, (first, tx.init(first)), keys)[1]

    # The best that is the same for all images is the variance, 1.
    assert trained(KEY)[-10:].mean() < 0.3


@pytest.mark.parametrize(
    "encode", ["all", pytest.param("visible", marks=pytest.mark.slow)]
)
def test_loss_and_gradient_are_float64s(encode):
    """Of the whole method: transformers, loss, and which patches count."""
    small = {**TINY, "dim": 4, "mlp_ratio": 1.0, "patch": 4, "image_size": 8}
    vit = ENCODERS["vit"](**small, mask_token=encode == "all")
    settings = {"decoder_width": 4, "decoder_depth": 1, "decoder_heads": 1}
    settings |= {"encode": encode, "mask_ratio": 0.5}
    method = METHODS["mae"](vit, one_image, **settings)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(size=(2, 8, 8, 1)), jnp.float32)
    params, state = jax.jit(method.init)(KEY, images)
    params = stirred(params)

    @jax.jit
    def found(params):
        loss = functools.partial(method.loss, key=KEY, step=0)
        (value, _), gradient = jax.value_and_grad(loss, has_aux=True)(
            params, state, images
        )
        return value, gradient

    keep, _, mask = map(np.asarray, draw(KEY, images, 4, 0.5))
    patches = wide(patchify(images, 4))
    target = reference.standardized(patches)
    tables = [wide(sincos_positions(2, 2, 4))] * 2

    def loss(p):
        made = reference.autoencoder(p, patches, keep, mask, tables, (2, 1), encode)
        return reference.masked_mse(made, target, mask)[0]

    p = jax.tree.map(wide, params)
    value, gradient = found(params)
    np.testing.assert_allclose(value, loss(p), rtol=1e-5)
    numeric = central_differences(loss, p)
    flat = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
        for tree in (gradient, numeric)
    ]
    difference = np.linalg.norm(wide(flat[0]) - flat[1])
    assert difference < 1e-5 * np.linalg.norm(flat[1])


@pytest.fixture(scope="module")
def full_params(images):
    patches = draw(KEY, images, PATCH, 0.25)
    init = functools.partial(FULL_NETWORK.init, train=False)
    found = jax.jit(init)(jax.random.key(1), images, patches.keep, patches.restore)
    return stirred(found["params"])


@jax.jit
def full_predictions(params, images, keep, restore):
    return FULL_NETWORK.apply({"params": params}, images, keep, restore, train=True)


def test_an_encoder_of_all_places_does_not_see_the_hidden_pixels(images, full_params):
    keep, restore, mask = draw(KEY, images, PATCH, 0.25)
    seen = full_predictions(full_params, images, keep, restore)
    blind = full_predictions(full_params, repainted(images, mask), keep, restore)
    np.testing.assert_array_equal(seen, blind)
    changed = full_predictions(full_params, repainted(images, ~mask), keep, restore)
    assert np.abs(changed - seen).max() > 1e-3


def test_mask_tokens_are_the_encoders_or_the_decoders(params, full_params):
    assert "mask_token" in params["decoder"]
    assert "mask_embed" not in params["encoder"]
    assert "mask_token" not in full_params["decoder"]
    assert full_params["encoder"]["mask_embed"].shape == (1, 16)


def test_evaluation_shows_the_encoder_all_patches(images, full_params):
    """Its mask token, which no image of an evaluation has, changes nothing there."""
    method = METHODS["mae"](FULL, one_image, encode="all", **DECODER)
    found = []
    for token in (0.0, 5.0):
        own = {**full_params["encoder"], "mask_embed": jnp.full((1, 16), token)}
        variables = method.exports["encoder"](
            {"encoder": own}, StatsState({"encoder": {}})
        )
        found.append(FULL.apply(variables, images, train=False).pooled)
    np.testing.assert_array_equal(*found)


def test_pictures_have_the_ratio_of_training_among_them(images, full_params):
    method = METHODS["mae"](FULL, one_image, encode="all", mask_ratio=0.25, **DECODER)

    def shown(params, images):
        made = method.shows(params, StatsState({}), {"view": images}, KEY)
        (picture,) = made.values()
        return {title: array for title, (_, array) in picture.columns.items()}

    made = jax.eval_shape(shown, full_params, images)
    hidden = [title.partition(" ")[0] for title in made if title.endswith(": pasted")]
    # Of 16 patches 95 % leave none.
    assert hidden == ["25%", "75%", "85%"]
    assert {array.shape for array in made.values()} == {images.shape}


@pytest.mark.parametrize("norm_pix", [True, False])
@pytest.mark.parametrize("ratio", [0.75, 0.9])
def test_what_is_visible_is_pasted_exactly(images, params, norm_pix, ratio):
    settings = {"mask_ratio": ratio, "norm_pix": norm_pix}
    rebuilt = jax.jit(functools.partial(reconstruct, NETWORK, **settings))
    found = jax.tree.map(np.asarray, rebuilt(params, images, KEY))
    # No pixel of the images is 0, so that zeros are what was hidden.
    mask = np.asarray(found["visible"]) == 0
    np.testing.assert_array_equal(found["pasted"][~mask], images[~mask])
    np.testing.assert_array_equal(found["visible"][~mask], images[~mask])
    np.testing.assert_array_equal(found["pasted"][mask], found["predicted"][mask])
    visible = {0.75: 4, 0.9: 1}[ratio] * PATCH * PATCH * images.shape[-1]
    assert ((~mask).sum((1, 2, 3)) == visible).all()


def test_perfect_predictions_are_the_images(images, params, monkeypatch):
    """Standardized patches get their means and deviations back."""
    targets = standardize(patchify(images, PATCH))
    module = sys.modules["jax_ssl.methods.mae"]  # Not the function of that name.
    monkeypatch.setattr(module, "forward", lambda *_, **__: (targets, {}))
    found = reconstruct(NETWORK, params, images, KEY)
    np.testing.assert_allclose(found["predicted"], images, atol=1e-5)


def test_encoder_works_a_quarter_as_much():
    """Blocks of ViT-B at 224 pixels, forward and backward, with 49 of 196 patches."""
    depth, dim = 2, 768  # Of its twelve, which all work as much.
    vit = ENCODERS["vit"](dim=dim, depth=depth, num_heads=12, positions="sincos")
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    keep = jax.ShapeDtypeStruct((2, 49), jnp.int32)
    init = functools.partial(vit.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), images)

    def flops(*keep):
        def value(variables, images, *keep):
            return vit.apply(variables, images, *keep, method="tokens").sum()

        gradient = jax.jit(jax.grad(value))
        return live_flops(gradient.trace(variables, images, *keep).jaxpr)

    share = flops(keep) / flops()
    assert 0.24 < share < 1 / 3
    # Three times the forward pass: about 12 D² + attention for each token and block.
    n = 1 + 49
    products = 2 * depth * n * (12 * dim * dim + 2 * n * dim)
    np.testing.assert_allclose(flops(keep), 3 * 2 * products, rtol=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio = 1.0 must be in"),
        ({"mask_ratio": 0.0}, "mask_ratio = 0.0 must"),
        ({"decoder_heads": 3}, "decoder_heads = 3 must divide decoder_width = 16"),
        ({"decoder_depth": 0}, "decoder_depth = 0 must be at least 1"),
        ({"encode": "all"}, "set encoder.mask_token = True"),
        ({"encode": "masked"}, "encode = 'masked' must be one of 'visible', 'all'"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["mae"](VIT, one_image, **{**DECODER, **settings})


def test_encoder_without_patches_is_refused():
    with pytest.raises(ValueError, match="ConvNet has none; choose a vision transf"):
        METHODS["mae"](ENCODERS["convnet"](), one_image)
