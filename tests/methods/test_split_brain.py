"""The split-brain autoencoder against float64, and that its halves share nothing."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.core.fields import ON_CANVAS, Field
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.split_brain import SplitEncoder, split_brain
from jax_ssl.ops.color_bins import gamut_bins
from jax_ssl.ops.lab import rgb_to_lab
from tests.case import Case
from tests.images import one_image, painted_image
from tests.methods.errors import B, Comparison, errors
from tests.references import color as reference

CASES = {
    "split_brain": Case(
        "split_brain", {}, painted_image, share=0.7, learning_rate=0.05
    ),
    "split_brain-regression": Case(
        "split_brain",
        {"objective": "regression"},
        painted_image,
        share=0.5,
        learning_rate=0.05,
    ),
}
KEY, STEP = jax.random.key(0), jnp.int32(0)
HALVES = "lightness", "color"


def random_images(rng):
    return rng.uniform(size=(B, 3, 3, 3))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(size=(5, 8, 8, 3)), jnp.float32)


@pytest.fixture(scope="module")
def method():
    return split_brain(ConvNet(widths=(4, 8)), one_image)


@pytest.fixture(scope="module")
def first(method, images):
    return jax.jit(method.init)(jax.random.key(1), images)


@pytest.mark.parametrize("bins", [10, 0])
def test_errors_are_those_of_float32(bins):
    settings = {"objective": "classification" if bins else "regression"}
    settings |= {"lightness_bins": bins or 100, "neighbors": 5}
    known = functools.partial(
        reference.split_brain,
        centers=gamut_bins().astype(np.float64),
        neighbors=5,
        lightness_bins=bins,
    )
    compared = Comparison("split_brain", settings, known, views=random_images)
    found = errors(compared)
    assert all(error < 1e-5 for error in found.values()), found


def test_no_half_sees_what_it_predicts(method, first, images):
    """Derivatives of the features by the other channels are zero, to the last bit."""
    params, state = first
    variables = method.exports["encoder"](params, state)
    lab = rgb_to_lab(images)

    @jax.jit
    def features(lab):
        apply = functools.partial(method.encoder.apply, variables, method="of_lab")
        return apply(lab, train=False)

    def summed(lab, half):
        found = features(lab)
        levels = [found.pooled, found.grid, *found.pyramid]
        return sum(jnp.split(level, 2, axis=-1)[half].sum() for level in levels)

    seen = {}
    for half, name in enumerate(HALVES):
        slope = np.abs(jax.jit(jax.grad(functools.partial(summed, half=half)))(lab))
        seen[name] = slope.max((0, 1, 2))
    assert seen["lightness"][0] > 0
    assert not seen["lightness"][1:].any()
    assert (seen["color"][1:] > 0).all()
    assert seen["color"][0] == 0
    # The same without derivatives: other colours, other lightness.
    before = features(lab)
    for half, other in enumerate((lab.at[..., 1:].add(9.0), lab.at[..., :1].add(9.0))):
        for old, new in zip(
            jax.tree.leaves(before), jax.tree.leaves(features(other)), strict=True
        ):
            same = jnp.split(old, 2, axis=-1)[half] == jnp.split(new, 2, axis=-1)[half]
            assert same.all()
            assert not (old == new).all()


def test_each_loss_moves_one_half_alone(method, first, images):
    params, state = first

    def whole(params, color, lightness):
        head = params["predictor"]
        head = {
            "color": jax.tree.map(lambda x: color * x, head["color"]),
            "lightness": jax.tree.map(lambda x: lightness * x, head["lightness"]),
        }
        changed = {**params, "predictor": head}
        return method.loss(changed, state, images, key=KEY, step=STEP)[0]

    # With the one head at 0 its half gets no gradient, and the other all of its own.
    gradient = jax.jit(jax.grad(whole))
    slopes = gradient(params, 1.0, 0.0)["encoder"]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slopes["color"]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(slopes["lightness"]))
    slopes = gradient(params, 0.0, 1.0)["encoder"]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slopes["lightness"]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(slopes["color"]))


def test_features_are_those_of_two_encoders_in_a_row(method, first, images):
    params, state = first
    variables = method.exports["encoder"](params, state)
    assert set(variables["params"]) == set(HALVES)
    assert variables["params"]["lightness"]["conv0"]["kernel"].shape[2] == 1
    assert variables["params"]["color"]["conv0"]["kernel"].shape[2] == 2
    found = method.encoder.apply(variables, images, train=False)
    assert found.pooled.shape == (5, 16)
    assert [level.shape[-1] for level in found.pyramid] == [8, 16]
    x = (rgb_to_lab(images) - jnp.array([50.0, 0, 0])) / 50
    for half, name in enumerate(HALVES):
        own = {kind: tree[name] for kind, tree in variables.items()}
        seen = x[..., :1] if name == "lightness" else x[..., 1:]
        alone = ConvNet(widths=(4, 8)).apply(own, seen, train=False)
        both = zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True)
        for together, apart in both:
            np.testing.assert_array_equal(jnp.split(together, 2, -1)[half], apart)


def test_halves_have_half_of_the_parameters():
    """Two half networks have about half of what one of the full width has."""

    def count(encoder, channels):
        x = jnp.zeros((1, 16, 16, channels))
        shapes = jax.eval_shape(
            functools.partial(encoder.init, train=False), jax.random.key(0), x
        )
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))

    whole = count(ConvNet(widths=(64, 128, 128)), 3)
    halves = count(SplitEncoder(ConvNet(widths=(32, 64, 64))), 3)
    assert 0.5 < halves / whole < 0.52


def test_chance_is_the_sum_of_the_logs(method, first, images):
    params, state = first
    blind = {**params, "predictor": jax.tree.map(jnp.zeros_like, params["predictor"])}
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    value, (_, metrics) = loss(blind, state, images)
    assert metrics["color_loss"] == pytest.approx(math.log(313), rel=1e-6)
    assert metrics["lightness_loss"] == pytest.approx(math.log(100), rel=1e-6)
    assert value == pytest.approx(math.log(313) + math.log(100), rel=1e-6)
    assert method.health.chance(16) == pytest.approx(float(value))
    regression = split_brain(ConvNet(), one_image, objective="regression")
    assert regression.health.chance is None


@pytest.mark.parametrize(
    "objective",
    ["classification", pytest.param("regression", marks=pytest.mark.slow)],
)
def test_pictures_are_images(images, objective):
    method = split_brain(ConvNet(widths=(4, 8)), one_image, objective=objective)

    @jax.jit
    def pictures(images):
        params, state = method.init(KEY, images)
        (shown,) = method.shows(params, state, {"view": images}, KEY).values()
        return {title: each for title, (_, each) in shown.columns.items()}

    columns = jax.tree.map(np.asarray, pictures(images))
    np.testing.assert_array_equal(columns["truth"], images)
    for each in columns.values():
        assert each.shape == images.shape
        assert each.min() >= 0
        assert each.max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "hinge"}, "objective = 'hinge' must be one of"),
        ({"lightness_bins": 1}, "lightness_bins = 1 must be at least 2"),
        ({"neighbors": 314}, r"neighbors = 314 must be in \[1, 313\]"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        split_brain(ConvNet(), one_image, **settings)


def test_standardized_views_are_refused():
    recipe = VIEWS["mae"](size=8)
    with pytest.raises(ValueError, match=r"standardized; set config\.views\.mean"):
        split_brain(ConvNet(), recipe)
    fields = {"image": Field("image", (8, 8, 3), np.dtype("uint8")), **ON_CANVAS}
    make = functools.partial(VIEWS["center_crop"], size=8)
    split_brain(ConvNet(), one_image, None, make(), fields)
    view = make(mean=(0.5,) * 3, std=(0.2,) * 3)
    with pytest.raises(ValueError, match=r"config\.evals\.view are standardized"):
        split_brain(ConvNet(), one_image, None, view, fields)
