"""Heads and masks that are given: what another program made can be judged by a loss."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.config.bind import schema
from jax_ssl.core.compiling import once
from jax_ssl.core.types import Features
from jax_ssl.methods import METHODS, simclr
from jax_ssl.methods.mae import draw as mae_draw
from jax_ssl.ops.masks import block_masks
from jax_ssl.parallel.rows import map_examples
from jax_ssl.train.step import init
from tests.cases import METHODS_UNDER_TEST
from tests.images import BATCH, SIZE, batch
from tests.references import contrastive


class Given(nn.Module):
    """An encoder of vectors: they are its features."""

    def __call__(self, x, *, train):
        del train
        return Features(x, grid=None)


class Same(nn.Module):
    """A head that changes nothing of what it reads first."""

    def __call__(self, x, *more, train):
        del more, train
        return x


def of_embeddings(method, embeddings):
    """The loss of a method whose views are embeddings [B, 2, D]."""
    params, state = method.init(jax.random.key(0), embeddings)
    key, step = jax.random.key(1), jnp.int32(0)
    return method.loss(params, state, embeddings, key=key, step=step)[0]


def test_simclr_judges_given_embeddings(rng):
    z = rng.normal(size=(6, 2, 5)).astype(np.float32)
    heads = {"projector": Same()}
    method = simclr(Given(), lambda key, x: x, heads, temperature=0.3)
    expected, _ = contrastive.nt_xent(z.astype(np.float64), 0.3)
    np.testing.assert_allclose(of_embeddings(method, z), expected, rtol=1e-5)


def wires(case):
    """The names of the positional parameters of a case's method."""
    return schema(METHODS[case.method]).wires


def params_of(method):
    """Shapes of the first params, by part."""
    start = functools.partial(init, method, optax.sgd(0.1))
    return jax.eval_shape(start, jax.random.key(0), batch()).params


# The first case of each method.
WITH_HEADS = {
    case.method: case
    for case in reversed(METHODS_UNDER_TEST.values())
    if "heads" in wires(case)
}


@pytest.mark.parametrize("case", WITH_HEADS.values(), ids=WITH_HEADS)
def test_every_head_can_be_given_and_none_that_is_not_there(case):
    with pytest.raises(ValueError, match=r"no 'eye'; its heads are") as refused:
        case.build({"heads": {"eye": Same()}})
    names = re.search(r"its heads are (\w+(?:, \w+)*)", str(refused.value))[1].split(
        ", "
    )
    params = params_of(case.build())
    given = params_of(case.build({"heads": {name: Same() for name in names}}))
    for name in names:
        assert params[name] != {}
        assert given[name] == {}


def masked_losses(case, key, other, recorded):
    """The loss of drawn masks, and for another key that of `recorded(views)`."""
    method = case.build(drop_path=0.0)
    make = once(functools.partial(map_examples, method.views))
    views = make(jax.random.key(2), batch())
    first = once(method.init)(jax.random.key(0), views)
    masks = recorded(views)
    given = case.build({"masks": lambda key, images: masks}, drop_path=0.0)
    return [
        once(functools.partial(m.loss, step=jnp.int32(0)))(*first, views, key=k)[0]
        for m, k in ((method, key), (given, other))
    ]


def test_recorded_masks_of_mae_are_the_masks():
    case = METHODS_UNDER_TEST["mae"]
    drawn, other = jax.random.split(jax.random.key(3))
    ratio = case.settings.get("mask_ratio", 0.75)
    draw = jax.jit(lambda views: mae_draw(drawn, views, 2, ratio))
    expected, found = masked_losses(case, drawn, other, draw)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_recorded_masks_of_dinov2_are_the_masks():
    case = METHODS_UNDER_TEST["dinov2"]
    drawn, other = jax.random.split(jax.random.key(3))

    @jax.jit
    def draw(views):
        del views
        return block_masks(
            jax.random.split(drawn, 3)[0],
            2 * BATCH,
            (SIZE // 2, SIZE // 2),
            probability=case.settings.get("mask_probability", 0.5),
            ratios=case.settings.get("mask_ratios", (0.1, 0.5)),
        )

    expected, found = masked_losses(case, drawn, other, draw)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
