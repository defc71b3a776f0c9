"""AMDIM: loss and gradient against float64, its negatives, its chance, pictures."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.core.types import Features
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.losses.infomax import places, places_nce
from jax_ssl.methods.amdim import amdim
from tests.case import Case
from tests.images import batch, plain_views
from tests.methods.errors import KEY, B, Comparison, errors
from tests.references import places as reference

SMALL = {"sides": (8, 4), "output_dim": 16}
CASES = {
    "amdim": Case("amdim", SMALL, share=0.92, learning_rate=0.1),
    "amdim-recipe": Case(
        "amdim",
        {**SMALL, "batch_norm": True},
        VIEWS["amdim"](size=8, min_scale=0.8, strength=0.3, mean=None, std=None),
        share=0.93,
        learning_rate=0.05,
    ),
}


class Cells(nn.Module):
    """Dense maps of the cells of images of 6 x 6 pixels, of 2 x 2 and of 3 x 3."""

    @nn.compact
    def __call__(self, x, *, train):
        del train

        def level(side, name):
            n = 6 // side
            cells = x.reshape(len(x), n, side, n, side).transpose(0, 1, 3, 2, 4)
            return nn.relu(nn.Dense(4, name=name)(cells.reshape(len(x), n, n, -1)))

        fine, coarse = level(2, "fine"), level(3, "coarse")
        whole = nn.Dense(4, name="whole")(fine.mean((1, 2)))
        return Features(whole, grid=coarse, pyramid=(fine, coarse))


@pytest.fixture
def method():
    return amdim(ConvNet(widths=(4, 16)), plain_views, **SMALL)


def test_loss_gradient_and_statistics_are_float64s():
    found = errors(
        Comparison(
            "amdim",
            {"sides": (3, 2), "output_dim": 4, "clip": 2.0, "score_penalty": 0.1},
            functools.partial(reference.amdim, clip=2.0, penalty=0.1),
            lambda: np.asarray(jax.random.randint(KEY, (B, 2), 0, 4)),
            views=lambda rng: rng.uniform(size=(B, 2, 6, 6, 1)),
            wires={"encoder": Cells()},
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def test_chance_is_that_of_equal_scores():
    found = jax.jit(places_nce)(jnp.zeros((5, 2, 3)), jnp.ones((5, 2, 7, 3)))
    assert found.loss == pytest.approx(math.log(1 + 4 * 7), abs=1e-6)
    assert found.accuracy == found.square == 0
    method = amdim(ConvNet(), plain_views)
    expected = math.log(1 + 15 * 49) + 2 * math.log(1 + 15 * 25)
    assert method.health.chance(16) == pytest.approx(expected)


def test_other_places_of_the_image_count_neither_way(rng):
    source = jnp.asarray(rng.normal(size=(3, 2, 4)), jnp.float32)
    target = jnp.asarray(rng.normal(size=(3, 2, 5, 4)), jnp.float32)
    judge = jax.jit(functools.partial(places, start=0, clip=20.0))
    before = judge(source, target)
    after = judge(source, target.at[1, 0, 2].add(1.0))
    # Of image 1 the second view's vector looks at the first view's places.
    change = np.asarray(after.loss != before.loss)
    assert change[1, 1].tolist() == [False, False, True, False, False]
    assert not change[:, 0].any()
    assert change[[0, 2], 1].all()


def test_scores_are_clipped(rng):
    """The loss of scores that are far too large is that of c and -c."""
    unit = jnp.eye(2)[:, None] * jnp.ones((2, 2, 2))
    judge = jax.jit(functools.partial(places_nce, clip=3.0))
    found = judge(1e3 * unit, 1e3 * (unit - 0.5)[:, :, None])
    assert found.loss == pytest.approx(math.log1p(math.exp(-6)), rel=1e-4)
    assert found.accuracy == 1


def test_pictures_show_both_views_and_both_grids(method):
    images = batch()["image"][:3] / 255
    first = jax.jit(method.init)(jax.random.key(1), jnp.zeros((4, 2, 8, 8, 3)))
    examples = {**{k: x[:3] for k, x in batch().items()}, "view": images}

    @jax.jit
    def drawn(examples):
        (shown,) = method.shows(*first, examples, KEY).values()
        return [x for _, x in shown.columns.values()]

    found = drawn(examples)
    shapes = [x.shape for x in found]
    assert shapes == [(3, 8, 8, 3)] * 2 + [(3, 64, 64, 3)] * 2 + [(3, 32, 32, 3)] * 2
    for x in found[2:]:
        assert 0 <= x.min() < x.max() <= 1


def test_what_cannot_be_compared_is_refused(method):
    views = jnp.zeros((2, 2, 16, 16, 3))
    with pytest.raises(ValueError, match=r"sides = \(8, 4\).*\[16, 8\] cells"):
        jax.eval_shape(method.init, jax.random.key(0), views)
    other = amdim(ConvNet(widths=(4, 8)), plain_views, **SMALL)
    with pytest.raises(ValueError, match=r"output_dim = 16 must be .* features, 8"):
        jax.eval_shape(other.init, jax.random.key(0), views[:, :, :8, :8])
    with pytest.raises(ValueError, match="clip = 0 must be positive"):
        amdim(ConvNet(), plain_views, clip=0)
    with pytest.raises(ValueError, match=r"2 rows or more, and has 1"):
        places_nce(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2, 7, 3)))
