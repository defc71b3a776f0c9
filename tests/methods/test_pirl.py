"""PIRL: loss, gradient and bank against float64; what moves the bank; its views."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.augment.steps import Turn
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.npid import npid
from jax_ssl.methods.pirl import pirl
from tests.case import Case
from tests.images import batch, plain_views
from tests.methods.beginnings import begun
from tests.methods.errors import KEY, B, Comparison, errors
from tests.references import multiview as reference


def puzzle_view(key, example):
    """A view, another one in nine shuffled tiles of 4 pixels, the row of the image."""
    draw_key, order_key = jax.random.split(key)
    image, other = plain_views(draw_key, example)
    large = jax.image.resize(other, (12, 12, 3), "nearest")
    tiles = large.reshape(3, 4, 3, 4, 3).swapaxes(1, 2).reshape(9, 4, 4, 3)
    tiles = tiles[jax.random.permutation(order_key, 9)]
    return {"image": image, "transformed": tiles, "index": example["index"]}


def turned_view(key, example):
    """A view, another one turned, the row of the image."""
    draw_key, turn_key = jax.random.split(key)
    image, other = plain_views(draw_key, example)
    turned = Turn()(turn_key, other)
    return {"image": image, "transformed": turned, "index": example["index"]}


SMALL = {"output_dim": 8, "num_negatives": 24, "temperature": 0.3}
FLAT = {"name": "convnet", "widths": (8, 16), "pool": "flat"}
CASES = {
    "pirl": Case(
        "pirl", SMALL, puzzle_view, encoder=FLAT, share=0.75, learning_rate=0.004
    ),
    "pirl-rotation": Case(
        "pirl",
        {
            **SMALL,
            "pretext": "rotation",
            "objective": "softmax",
            "head_layers": 2,
            "hidden_dim": 64,
        },
        turned_view,
        encoder=FLAT,
        steps=80,
        learning_rate=0.002,
    ),
}
N, M, STEP = 32, 6, jnp.int32(0)
SHAPES = {"jigsaw": (B, 9, 2, 2, 1), "rotation": (B, 2, 2, 1), "none": None}


def random_views(rng, pretext="jigsaw"):
    made = {
        "image": rng.uniform(size=(B, 2, 2, 1)),
        "index": rng.permutation(N)[:B].astype(np.int32),
    }
    if pretext != "none":
        made["transformed"] = rng.uniform(size=SHAPES[pretext])
    return made


def drawn(terms):
    keys = jax.random.split(KEY, terms)
    return [np.asarray(jax.random.randint(key, (B, M), 0, N)) for key in keys]


@pytest.mark.parametrize(
    ("pretext", "objective", "layers"),
    [
        ("jigsaw", "nce", 1),
        pytest.param("jigsaw", "softmax", 2, marks=pytest.mark.slow),
        ("rotation", "softmax", 2),
        pytest.param("rotation", "nce", 1, marks=pytest.mark.slow),
        pytest.param("none", "nce", 1, marks=pytest.mark.slow),
    ],
)
def test_errors_are_those_of_float32(pretext, objective, layers):
    chosen = {"pretext": pretext, "objective": objective, "temperature": 0.3}
    known = functools.partial(
        reference.pirl, **chosen, weight=0.3, momentum=0.5, rows=N
    )
    settings = {"output_dim": 4, "num_negatives": M, "transformed_weight": 0.3}
    settings |= {"head_layers": layers, "hidden_dim": 6}
    found = errors(
        Comparison(
            "pirl",
            {**settings, **chosen},
            known,
            lambda: drawn(1 if pretext == "none" else 2),
            functools.partial(random_views, pretext=pretext),
            {"num_examples": N},
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def made(**settings):
    settings = {"num_negatives": M, "output_dim": 4, **settings}
    return pirl(ConvNet(widths=(4,)), puzzle_view, N, **settings)


@pytest.fixture
def views(rng):
    return {
        "image": jnp.asarray(rng.normal(size=(B, 8, 8, 3)), jnp.float32),
        "transformed": jnp.asarray(rng.normal(size=(B, 9, 4, 4, 3)), jnp.float32),
        "index": jnp.asarray(rng.permutation(N)[:B], jnp.int32),
    }


def test_the_bank_learns_of_images_alone_and_tiles_have_an_order(views):
    method = made()
    params, state = begun(method, KEY, views)
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    value, (after, metrics) = loss(params, state, views)
    swapped = views["transformed"][:, jnp.array([1, 0, *range(2, 9)])]
    other, (moved, changed) = loss(params, state, {**views, "transformed": swapped})
    # The task has no label to change: the same memory is wanted of another puzzle.
    np.testing.assert_array_equal(after.bank, moved.bank)
    assert abs(other - value) > 1e-4
    assert changed["transformed_loss"] != metrics["transformed_loss"]
    total = 0.5 * metrics["transformed_loss"] + 0.5 * metrics["image_loss"]
    assert value == pytest.approx(float(total), rel=1e-6)


def test_without_a_pretext_it_is_npid(views):
    """NPID++ is NPID with more noise: the same loss, bank and constant."""
    method = made(pretext="none")
    views = {name: views[name] for name in ("image", "index")}
    other = npid(ConvNet(widths=(4,)), puzzle_view, N, num_negatives=M, output_dim=4)
    params, state = begun(method, KEY, views)
    _, like = jax.eval_shape(other.init, KEY, views)
    same = type(like)(*state)
    key = jax.random.split(KEY, 1)[0]  # Of the only term.
    found = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    wanted = jax.jit(functools.partial(other.loss, key=key, step=STEP))
    value, (after, _) = found(params, state, views)
    expected, (moved, _) = wanted(params, same, views)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, tuple(after), tuple(moved))


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_chance_is_the_loss_where_all_scores_agree(views, objective):
    method = made(objective=objective)
    params, state = begun(method, KEY, views)
    one = jnp.zeros(4).at[0].set(1.0)
    blind = jax.tree.map(jnp.zeros_like, params)
    blind["projector"]["dense0"]["bias"] = one
    blind["transformed_projector"]["puzzle"]["dense0"]["bias"] = one
    flat = state._replace(bank=jnp.broadcast_to(one, state.bank.shape))
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    value, _ = loss({**blind, "encoder": params["encoder"]}, flat, views)
    least = math.log(1 + M) + (M * math.log(1 + 1 / M) if objective == "nce" else 0)
    assert value == pytest.approx(least, rel=1e-5)
    assert method.health.chance(B) == pytest.approx(least)


@pytest.mark.parametrize("pretext", ["jigsaw", "rotation"])
def test_pictures_are_of_these_images(pretext):
    recipe = VIEWS["pirl"](pretext=pretext, size=8, tile=4, gap=0)
    method = pirl(ConvNet(widths=(4,)), recipe, N, pretext=pretext, output_dim=4)
    examples = jax.tree.map(lambda x: x[:3], batch())
    examples["view"] = examples["image"] / 255

    @jax.jit
    def pictures(examples):
        rows = {name: x for name, x in examples.items() if name != "view"}
        views = jax.vmap(recipe)(jax.random.split(KEY, 3), rows)
        params, state = method.init(KEY, views)
        (shown,) = method.shows(params, state, examples, KEY).values()
        return [x for _, x in shown.columns.values()], shown.agrees

    columns, agrees = pictures(examples)
    image, _, first, second = map(np.asarray, columns)
    for near in (first, second):
        assert all(any((row == own).all() for own in image) for row in near)
    assert (first != second).any((1, 2, 3)).all()
    own = (first == image).all((1, 2, 3))
    np.testing.assert_array_equal(agrees["nearest images: first"], own)
    assert made(pretext="none").shows(None, None, {}, KEY) == {}


def test_settings_and_views_are_refused(views):
    for settings, message in (
        ({"pretext": "maze"}, "pretext = 'maze' must be one of"),
        ({"objective": "hinge"}, "objective = 'hinge' must be one of"),
        ({"transformed_weight": 1.1}, r"transformed_weight = 1.1 must be in \[0, 1\]"),
        ({"head_layers": 0}, "head_layers = 0 must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            made(**settings)
    with pytest.raises(ValueError, match=r"\[B, H, W, C\].*pretext = 'rotation'"):
        made(pretext="rotation").init(KEY, views)
    with pytest.raises(ValueError, match=r"set config\.views\.pretext = 'none' too"):
        made(pretext="none").init(KEY, views)
    with pytest.raises(ValueError, match=r"'transformed': \[B, 9, h, w, C\].*'pirl'"):
        made().init(KEY, {"image": views["image"], "index": views["index"]})
