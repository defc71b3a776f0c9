"""Colorization's loss and prior against float64, and its laws."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.colorization import LightnessEncoder, at_cells, colorization
from jax_ssl.ops.color_bins import gamut_bins, smoothed
from jax_ssl.ops.lab import rgb_to_lab
from tests.case import Case
from tests.images import one_image, painted_image
from tests.methods.errors import B, Comparison, errors
from tests.references import color as reference

CASES = {
    "colorization": Case(
        "colorization", {}, painted_image, share=0.7, learning_rate=0.1
    ),
}
KEY, STEP = jax.random.key(0), jnp.int32(0)
N = 6
CROPS = {"num_views": None, "size": 8, "strength": 0.0, "gray_probability": 0.0}


def skewed():
    """A prior under which bins weigh very differently."""
    return jnp.asarray(np.random.default_rng(1).dirichlet(np.full(313, 0.2)), "f4")


def colored_and_grey(rng):
    """[B, 3, 3, 3] float64, a quarter of them grey."""
    images = rng.uniform(size=(B, 3, 3, 3))
    images[: B // 4] = images[: B // 4].mean(-1, keepdims=True)
    return images


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(size=(N, 8, 8, 3)), jnp.float32)


@pytest.fixture(scope="module")
def method():
    return colorization(ConvNet(widths=(4, 8)), one_image, N)


@pytest.fixture(scope="module")
def first(method, images):
    return jax.jit(method.init)(jax.random.key(1), images)


def loss_of(method, params, state, views):
    loss = functools.partial(method.loss, key=KEY, step=STEP)
    return jax.jit(loss)(params, state, views)


@pytest.mark.parametrize(("neighbors", "share"), [(5, 0.5), (1, 1.0)])
def test_errors_are_those_of_float32(neighbors, share):
    settings = {"neighbors": neighbors, "uniform_share": share}
    known = functools.partial(
        reference.colorization, centers=gamut_bins().astype(np.float64), **settings
    )
    wires = {"num_examples": 32, "prior": skewed()}
    compared = Comparison(
        "colorization", settings, known, views=colored_and_grey, wires=wires
    )
    found = errors(compared)
    assert all(error < 1e-5 for error in found.values()), found


def test_loss_is_the_mean_over_cells(method, first, images):
    params, state = first
    state = state._replace(prior=skewed())
    value, (_, metrics) = loss_of(method, params, state, images)
    variables = {"params": params["encoder"], **state.stats["encoder"]}
    features, _ = method.encoder.apply(
        variables, images, train=True, mutable=["batch_stats"]
    )
    dense = jax.tree.map(np.float64, params["classifier"]["dense"])
    logits = np.float64(features.grid) @ dense["kernel"] + dense["bias"]
    assert logits.shape == (N, 4, 4, 313)
    ab = reference.rgb_to_lab(images)[..., 1:]
    target = reference.soft_encode(reference.middles(ab, 4, 4), gamut_bins(), 5)
    weights = reference.class_weights(np.float64(state.prior), 0.5)
    own = weights[target.argmax(-1)]
    expected = (own * reference.cross_entropies(logits, target)).mean()
    assert value == pytest.approx(expected, rel=1e-5)
    hits = (logits.argmax(-1) == target.argmax(-1)).mean()
    assert metrics["color_accuracy"] == pytest.approx(hits)
    common = np.log(np.float64(state.prior) * weights)
    alike = np.maximum(common, math.log(1e-12)) * np.ones_like(target)
    expected = (own * reference.cross_entropies(alike, target)).mean()
    assert metrics["prior_loss"] == pytest.approx(expected, rel=1e-4)
    assert metrics["grey_images"] == 0


def test_chance_is_the_log_of_313(method, first, images):
    params, state = first
    blind = jax.tree.map(jnp.zeros_like, params["classifier"])
    value, _ = loss_of(method, {**params, "classifier": blind}, state, images)
    assert value == pytest.approx(math.log(313), rel=1e-6)
    assert method.health.chance(16) == pytest.approx(5.746, abs=1e-3)


def test_grey_images_weigh_nothing(method, first, images):
    params, state = first
    grey = jnp.broadcast_to(images.mean(-1, keepdims=True), images.shape)

    def value(params, views):
        return method.loss(params, state, views, key=KEY, step=STEP)[0]

    found, gradient = jax.jit(jax.value_and_grad(value))(params, grey)
    assert found == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    # Half of them: the mean is still over all.
    mixed = grey.at[: N // 2].set(images[: N // 2])
    (_, (_, metrics)) = loss_of(method, params, state, mixed)
    assert metrics["grey_images"] == 0.5


def test_the_encoder_sees_the_lightness_alone(method, first, images):
    params, state = first
    assert params["encoder"]["encoder"]["conv0"]["kernel"].shape[2] == 1
    variables = method.exports["encoder"](params, state)
    assert isinstance(method.encoder, LightnessEncoder)
    found = method.encoder.apply(variables, images, train=False)
    inner = {name: tree["encoder"] for name, tree in variables.items()}
    lightness = (rgb_to_lab(images)[..., :1] - 50) / 50
    expected = ConvNet(widths=(4, 8)).apply(inner, lightness, train=False)
    np.testing.assert_array_equal(found.pooled, expected.pooled)
    assert len(found.pyramid) == 2


def test_cells_take_the_pixel_in_their_middle(rng):
    values = jnp.asarray(rng.normal(size=(2, 12, 9, 2)))
    found = at_cells(values, jnp.zeros((2, 4, 3, 5)))
    np.testing.assert_array_equal(found, values[:, 1::3, 1::3])
    # 13 cells of 227 pixels do not divide them.
    wide = jnp.arange(227.0)[None, :, None, None] * jnp.ones((1, 1, 227, 1))
    rows = at_cells(wide, jnp.zeros((1, 13, 13, 1)))[0, :, 0, 0]
    np.testing.assert_array_equal(rows, [(2 * i + 1) * 227 // 26 for i in range(13)])


def test_the_prior_is_counted_over_the_training_set(method, first, images):
    params, state = first
    grey = jnp.broadcast_to(images[:2].mean(-1, keepdims=True), images[:2].shape)
    views = jnp.concatenate([images[2:], grey])
    embed = jax.jit(lambda views: method.refresh.embed(params, state, {"view": views}))
    fit = jax.jit(lambda features: method.refresh.fit(params, state, features, KEY))
    features = embed(views)
    # Rows beyond the data set must not be looked at.
    padded = jnp.concatenate([features, jnp.full((3, 313), 7.0)])
    _, after, metrics = fit(padded)
    ab = reference.rgb_to_lab(images[2:])[..., 1:].reshape(-1, 1, 2)
    nearest = ((ab - gamut_bins()) ** 2).sum(-1).argmin(-1)
    counts = np.bincount(nearest, minlength=313)
    expected = smoothed(jnp.asarray(counts / counts.sum(), jnp.float32))
    np.testing.assert_allclose(after.prior, expected, atol=1e-6)
    assert metrics["grey_images"] == pytest.approx(2 / N)
    assert metrics["colors_seen"] == pytest.approx((counts > 0).mean())
    # Nothing but grey: no colour is rarer than another.
    _, after, _ = fit(jnp.zeros_like(padded))
    even = smoothed(jnp.full(313, 1 / 313))
    np.testing.assert_allclose(after.prior, even, rtol=1e-5)


def test_nothing_is_counted_where_the_prior_is_not_needed():
    known = colorization(ConvNet(), one_image, N, prior=skewed())
    assert known.refresh is None
    assert colorization(ConvNet(), one_image, N, uniform_share=1.0).refresh is None
    _, state = jax.jit(known.init)(KEY, jnp.zeros((1, 8, 8, 3)))
    np.testing.assert_array_equal(state.prior, skewed())


def test_pictures_have_the_true_lightness(method, first, images):
    titles = []

    @jax.jit
    def drawn(images):
        (shown,) = method.shows(*first, {"view": images}, KEY).values()
        titles.extend(shown.columns)
        return {title: each for title, (_, each) in shown.columns.items()}

    pictures = jax.tree.map(np.asarray, drawn(images))
    assert titles[0] == "grey"
    assert titles[-1] == "truth"
    assert "T = 0.38" in titles
    np.testing.assert_array_equal(pictures["truth"], images)
    grey = pictures["grey"]
    np.testing.assert_allclose(grey, grey[..., :1] * np.ones(3), atol=1e-4)
    lightness = reference.rgb_to_lab(images)[..., 0]
    np.testing.assert_allclose(reference.rgb_to_lab(grey)[..., 0], lightness, atol=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbors": 0}, r"neighbors = 0 must be in \[1, 313\]"),
        ({"uniform_share": 0.0}, r"uniform_share = 0.0 must be in \(0, 1\]"),
        ({"uniform_share": 1.5}, "uniform_share = 1.5"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        colorization(ConvNet(), one_image, N, **settings)


def test_a_prior_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"prior has the shape \(10,\).*\(313,\)"):
        colorization(ConvNet(), one_image, N, prior=jnp.full(10, 0.1))


def test_views_without_their_colors_are_refused(method):
    recipe = VIEWS["random_crops"](**CROPS, mean=(0.5,), std=(0.2,))
    with pytest.raises(ValueError, match=r"standardized; set config\.views\.mean"):
        colorization(ConvNet(), recipe, N)
    assert colorization(ConvNet(), VIEWS["random_crops"](**CROPS), N)
    with pytest.raises(ValueError, match=r"have 1 channel\(s\).*RGB images"):
        method.init(KEY, jnp.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match="reads one image of each example"):
        method.init(KEY, jnp.zeros((2, 2, 8, 8, 3)))
