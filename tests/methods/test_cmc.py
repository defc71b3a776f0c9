"""CMC: loss, gradient and banks against float64; which half meets which bank."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.cmc import cmc
from tests.case import Case
from tests.methods.beginnings import begun
from tests.methods.errors import KEY, B, Comparison, errors
from tests.references import multiview as reference


def colored_view(key, example):
    """The image in [0, 1] with a little noise, and its row."""
    noise = 0.02 * jax.random.normal(key, example["image"].shape)
    image = jnp.clip(example["image"].astype(jnp.float32) / 255 + noise, 0, 1)
    return {"image": image, "index": example["index"]}


FLAT = {"name": "convnet", "widths": (8, 16), "pool": "flat"}
CASES = {
    "cmc": Case(
        "cmc",
        {"output_dim": 8, "num_negatives": 24, "temperature": 0.3},
        colored_view,
        encoder=FLAT,
        # The halves begin with memories that have nothing to do with each other.
        share=0.75,
        steps=120,
        learning_rate=0.0003,
    ),
    "cmc-in-batch": Case(
        "cmc",
        {
            "output_dim": 8,
            "objective": "in_batch",
            "temperature": 0.2,
            "similarity": "ring",
        },
        colored_view,
        encoder=FLAT,
        share=0.7,
        learning_rate=0.002,
    ),
}
N, M, STEP = 32, 6, jnp.int32(0)


def random_views(rng):
    return {
        "image": rng.uniform(size=(B, 3, 3, 3)),
        "index": rng.permutation(N)[:B].astype(np.int32),
    }


@pytest.fixture
def views(rng):
    made = random_views(rng)
    return {
        "image": jnp.asarray(rng.uniform(size=(B, 8, 8, 3)), jnp.float32),
        "index": jnp.asarray(made["index"]),
    }


def made(**settings):
    settings = {"num_negatives": M, "output_dim": 4, **settings}
    return cmc(ConvNet(widths=(4,)), colored_view, N, **settings)


@pytest.mark.parametrize(
    "objective",
    [
        "nce",
        *(pytest.param(o, marks=pytest.mark.slow) for o in ("softmax", "in_batch")),
    ],
)
def test_errors_are_those_of_float32(objective):
    known = functools.partial(
        reference.cmc, objective=objective, temperature=0.3, momentum=0.5, rows=N
    )
    settings = {"output_dim": 4, "num_negatives": M, "temperature": 0.3}
    found = errors(
        Comparison(
            "cmc",
            {**settings, "objective": objective},
            known,
            lambda: np.asarray(jax.random.randint(KEY, (B, M), 0, N)),
            random_views,
            {"num_examples": N},
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def test_a_half_meets_the_bank_of_the_other_and_moves_its_own(views):
    """Another bank of colours changes what the lightness loses, and nothing else."""
    method = made()
    params, state = begun(method, KEY, views)
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    state = state._replace(partitions=dict.fromkeys(state.partitions, 40.0))
    _, (after, metrics) = loss(params, state, views)
    flipped = state._replace(banks={**state.banks, "color": -state.banks["color"]})
    _, (moved, other) = loss(params, flipped, views)
    assert abs(other["lightness_loss"] - metrics["lightness_loss"]) > 1e-2
    assert other["color_loss"] == metrics["color_loss"]
    np.testing.assert_array_equal(moved.banks["lightness"], after.banks["lightness"])
    rest = np.setdiff1d(np.arange(N), views["index"])
    for half, bank in after.banks.items():
        assert (bank[views["index"]] != state.banks[half][views["index"]]).any(1).all()
        np.testing.assert_array_equal(bank[rest], state.banks[half][rest])
        np.testing.assert_allclose(np.linalg.norm(bank, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "objective",
    [
        "nce",
        *(pytest.param(o, marks=pytest.mark.slow) for o in ("softmax", "in_batch")),
    ],
)
def test_chance_is_the_loss_where_all_scores_agree(views, objective):
    method = made(objective=objective)
    params, state = begun(method, KEY, views)
    one = jnp.zeros(4).at[0].set(1.0)
    blind = jax.tree.map(jnp.zeros_like, params["projector"])
    for half in blind.values():
        half["dense0"]["bias"] = one
    banks = {half: jnp.broadcast_to(one, x.shape) for half, x in state.banks.items()}
    value, _ = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))(
        {**params, "projector": blind}, state._replace(banks=banks), views
    )
    assert value == pytest.approx(method.health.chance(B), rel=1e-5)
    known = {
        "nce": 2 * (math.log(1 + M) + M * math.log(1 + 1 / M)),
        "softmax": 2 * math.log(1 + M),
        "in_batch": 2 * math.log(B),
    }
    assert method.health.chance(B) == pytest.approx(known[objective])


def test_constant_colours_cannot_be_found(views):
    """Card: with one half constant its direction stays at log(1 + m)."""
    method = made(objective="softmax")
    grey = {**views, "image": jnp.broadcast_to(views["image"][..., :1], (B, 8, 8, 3))}
    params, state = begun(method, KEY, grey)
    one = jnp.zeros((1, 4)).at[0, 0].set(1.0)
    flat = {**state.banks, "color": jnp.broadcast_to(one, state.banks["color"].shape)}
    _, (_, metrics) = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))(
        params, state._replace(banks=flat), grey
    )
    assert metrics["lightness_loss"] == pytest.approx(math.log(1 + M), rel=1e-6)


def test_pictures_match_what_belongs_together(views):
    method = made(objective="in_batch")
    params, state = method.init(KEY, views)
    (shown,) = method.shows(params, state, {"view": views["image"]}, KEY).values()
    pictures = {name: np.asarray(x) for name, (_, x) in shown.columns.items()}
    assert all(x.shape == (B, 8, 8, 3) for x in pictures.values())
    seen = {row.tobytes() for row in pictures["colours: seen"]}
    found = pictures["lightness: finds"]
    assert {row.tobytes() for row in found} <= seen


def test_settings_and_views_are_refused(views):
    for settings, message in (
        ({"objective": "hinge"}, "objective = 'hinge' must be one of"),
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"num_negatives": 0}, "num_negatives = 0 must be at least 1"),
        ({"momentum": 1.0}, r"momentum = 1.0 must be in \[0, 1\)"),
        ({"similarity": "dense"}, "similarity = 'dense' must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            made(**settings)
    with pytest.raises(ValueError, match=r"standardized; set config\.views\.mean"):
        cmc(ConvNet(), VIEWS["npid"](size=8), N)
    with pytest.raises(ValueError, match=r"reads \{'image', 'index'\}.*'cmc'"):
        made().init(KEY, views["image"])
