"""CPC on patches: what the context may see, loss and gradient, chance, pictures."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.losses.grid_nce import grid_nce
from jax_ssl.methods.cpc_vision import cpc_vision
from jax_ssl.nn.context import RowContext
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.case import Case
from tests.images import SIZE, batch
from tests.methods.errors import KEY, B, Comparison, errors
from tests.references import places as reference

SMALL = {"patch": 4, "grid": 3, "context_layers": 1, "context_width": 8}
PATCHES = {"size": SIZE, "patch": 4, "grid": 3, "inner": None, "gray_probability": 0.0}
OPEN = VIEWS["cpc_patches"](**PATCHES, min_scale=1.0)
EVERY_WAY = ("down", "up", "right", "left")
CASES = {
    "cpc_vision": Case(
        "cpc_vision",
        {**SMALL, "horizons": (1, 2), "directions": ("down", "left")},
        OPEN,
        encoder={
            "name": "convnet",
            "widths": (8, 16),
            "norm": "layer",
            "pool": "flat",
        },
        share=0.7,
        learning_rate=0.05,
    ),
    "cpc_vision-v1": Case(
        "cpc_vision",
        {**SMALL, "horizons": (1,), "similarity": "ring"},
        VIEWS["cpc_patches"](**{**PATCHES, "inner": 3, "gray_probability": 1.0}),
        encoder={"name": "convnet", "widths": (8, 16), "pool": "flat"},
        share=0.93,
        learning_rate=0.05,
    ),
}


@pytest.fixture(scope="module")
def method():
    return cpc_vision(
        ConvNet(widths=(4, 8)),
        OPEN,
        **SMALL,
        horizons=(1, 2),
        directions=("down", "up"),
    )


@pytest.fixture(scope="module")
def first(method):
    """(params, state) of a fresh network."""
    return jax.jit(method.init)(jax.random.key(1), jnp.zeros((4, 9, 4, 4, 3)))


@pytest.fixture(scope="module")
def loss(method):
    """The loss by params, state and views, compiled."""
    return jax.jit(functools.partial(method.loss, key=KEY, step=jnp.int32(0)))


def blind(params):
    return {**params, "predictor": jax.tree.map(jnp.zeros_like, params["predictor"])}


def test_loss_and_gradient_are_float64s():
    settings = {"grid": 3, "horizons": (1, 2), "directions": ("right",)}
    found = errors(
        Comparison(
            "cpc_vision",
            {
                **settings,
                "patch": 2,
                "context_layers": 1,
                "context_width": 2,
                "target_dim": 2,
            },
            functools.partial(reference.cpc_vision, **settings),
            views=lambda rng: rng.uniform(size=(B, 9, 2, 2, 1)),
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


@pytest.mark.slow
def test_all_four_directions_are_float64s():
    settings = {"grid": 4, "horizons": (2, 3), "directions": EVERY_WAY}
    more = {"patch": 2, "context_layers": 2, "context_width": 2, "target_dim": 2}
    found = errors(
        Comparison(
            "cpc_vision",
            {**settings, **more},
            functools.partial(reference.cpc_vision, **settings),
            views=lambda rng: rng.uniform(size=(B, 16, 2, 2, 1)),
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def test_the_context_sees_nothing_of_the_rows_below(rng):
    """Its own row it sees on both sides, as far as there are blocks."""
    network = RowContext(layers=2, width=8)
    grid = jnp.asarray(rng.uniform(size=(1, 6, 7, 4)), jnp.float32)
    init = jax.jit(functools.partial(network.init, train=True))
    variables = init(jax.random.key(1), grid)

    @jax.jit
    def slopes(row, column):
        def cell(grid):
            return network.apply(variables, grid, train=True)[0, row, column].sum()

        return jnp.abs(jax.grad(cell)(grid)[0]).sum(-1)

    for row, column in ((0, 0), (3, 3), (4, 5)):
        seen = np.asarray(slopes(row, column)) > 0
        rows, columns = np.indices(seen.shape)
        near = (rows >= row - 2) & (np.abs(columns - column) <= 2)
        np.testing.assert_array_equal(seen, (rows <= row) & near)


def test_chance_is_the_log_of_all_patches_of_the_batch(method, first, loss, rng):
    views = jnp.asarray(rng.normal(size=(4, 9, 4, 4, 3)), jnp.float32)
    params, state = first
    value, (_, metrics) = loss(blind(params), state, views)
    assert value == pytest.approx(math.log(4 * 9), abs=1e-5)
    assert method.health.chance(4) == pytest.approx(math.log(36))
    assert set(metrics) == {
        "prediction_accuracy",
        *(f"accuracy_{k}_away" for k in (1, 2)),
        *(f"accuracy_{way}" for way in ("down", "up")),
    }
    # And so it begins.
    value, _ = loss(params, state, views)
    assert value == pytest.approx(math.log(36), abs=0.1)


def test_patches_that_are_alike_cannot_be_told(first, loss):
    value, (_, metrics) = loss(*first, jnp.full((4, 9, 4, 4, 3), 0.3))
    assert value == pytest.approx(math.log(36), abs=1e-5)
    assert metrics["prediction_accuracy"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gather", "ring"])
def test_every_form_is_the_same_on_eight_devices(form, rng):
    predictions = rng.normal(size=(16, 5, 4)).astype("f4")
    targets = rng.normal(size=(16, 6, 4)).astype("f4")
    cells = np.array([1, 2, 2, 5, 0])
    scores = np.einsum("bpt,cnt->bpcn", predictions, targets).reshape(16, 5, -1)
    wanted = [
        np.mean(reference.cross_entropy(scores[:, p], 6 * np.arange(16) + cells[p]))
        for p in range(5)
    ]
    mesh = make_mesh()
    with jax.set_mesh(mesh):
        rows = jax.device_put((predictions, targets), row_sharding(mesh))
        losses, _ = jax.jit(lambda p, t: grid_nce(p, t, cells, form=form))(*rows)
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)


def test_evaluation_averages_patches_or_sees_the_image(method, first, rng):
    images = jnp.asarray(rng.uniform(size=(2, 8, 8, 3)), jnp.float32)
    variables = method.exports["encoder"](*first)
    bare = method.exports["patch_encoder"](*first)
    alone = ConvNet(widths=(4, 8))
    whole = cpc_vision(alone, OPEN, **SMALL, horizons=(1,), evaluated="image")

    @jax.jit
    def found(images):
        cut = [images[:, i : i + 4, j : j + 4] for i in (0, 2, 4) for j in (0, 2, 4)]
        return (
            method.encoder.apply(variables, images, train=False).pooled,
            alone.apply(bare, jnp.concatenate(cut), train=False).pooled,
            whole.encoder.apply(variables, images, train=False).pooled,
            alone.apply(bare, images, train=False).pooled,
        )

    averaged, each, seen, expected = found(images)
    mean = np.mean(np.asarray(each).reshape(9, 2, -1), axis=0)
    np.testing.assert_allclose(averaged, mean, rtol=1e-5)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_pictures_tell_chance_from_first_choices(method, first):
    """Maps that know nothing choose the first patch of the first image."""
    params, state = first

    @jax.jit
    def drawn(images):
        shown = method.shows(blind(params), state, {"view": images}, KEY).values()
        return [{word: x for word, (_, x) in each.columns.items()} for each in shown]

    maps, means = drawn(batch()["image"][:3] / 255)
    assert len(maps) == 1 + 2 * 2
    up = np.asarray(maps["up: 2 away"])
    assert up.shape == (3, 24, 24, 3)
    np.testing.assert_allclose(up[:, :8], 0, atol=1e-6)
    assert (up[:, 8:, :, 2] == 1).all()
    share = np.asarray(means["up: 2 away"])
    # Of three images the first, whose patch 0 lies two rows above.
    np.testing.assert_allclose(share[0, :8, :8], 1 / 3, rtol=1e-6)
    assert (share[0, :8, 8:] == 0).all()


def test_other_views_and_settings_are_refused(method):
    with pytest.raises(ValueError, match=r"method\.grid = 3 and .*'cpc_patches'"):
        jax.eval_shape(method.init, jax.random.key(0), jnp.zeros((2, 4, 4, 4, 3)))
    build = functools.partial(cpc_vision, ConvNet(), OPEN)
    with pytest.raises(ValueError, match=r"horizons = \(2, 3\) .*below grid = 3"):
        build(patch=4, grid=3, horizons=(2, 3))
    with pytest.raises(ValueError, match="directions = 'south' must be one of"):
        build(directions=("south",))
    with pytest.raises(ValueError, match="holds 'down' more than once"):
        build(directions=("down", "up", "down"))
    with pytest.raises(ValueError, match="target_dim = 0 must be at least 1"):
        build(target_dim=0)
