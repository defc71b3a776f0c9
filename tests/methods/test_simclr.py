"""SimCLR's own laws; the battery is in `tests/test_contract.py`."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import optax
import pytest

from jax_ssl.augment.views import two_crops
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import simclr
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from jax_ssl.train.step import init, train_step

B, D, DEVICES = 64, 12, 8


def compiled_step(*, groups=1, **settings):
    """HLO of a whole step on 8 devices, views and batch norm included."""
    mesh = make_mesh()
    assert mesh.size == DEVICES
    encoder = ENCODERS["convnet"](widths=(8, 16), groups=groups)
    method = simclr(encoder, two_crops(size=8), hidden_dim=16, output_dim=D, **settings)
    tx = optax.sgd(0.1, momentum=0.9)
    rows = functools.partial(jax.ShapeDtypeStruct, sharding=row_sharding(mesh))
    batch = {"image": rows((B, 8, 8, 3), jnp.uint8), "index": rows((B,), jnp.int32)}
    with jax.set_mesh(mesh):
        first = jax.eval_shape(
            functools.partial(init, method, tx), jax.random.key(0), batch
        )
        step = jax.jit(functools.partial(train_step, method, tx), donate_argnums=0)
        return step.lower(first, batch).compile().as_text()


def moved(text):
    return re.findall(
        r"= \(?(\w+\[[\d,]*\]).* (all-gather|all-to-all|collective-permute)"
        r"(?:-start)?\(",
        text,
    )


@pytest.mark.parametrize("groups", [1, 8])
def test_a_step_gathers_embeddings_only_and_holds_no_square(groups):
    text = compiled_step(groups=groups)
    assert moved(text) == [(f"f32[{B},2,{D}]", "all-gather")]
    # One process's share of the similarities, and nothing of the whole square.
    shapes = set(re.findall(r"\w+\[([\d,]+)\]", text))
    share = {f"{2 * B // DEVICES},{2 * B}", f"{B // DEVICES},2,{B},2"}
    assert share & shapes
    assert not {f"{2 * B},{2 * B}", f"{B},2,{B},2", f"{B},{B}"} & shapes


def test_the_ring_passes_embeddings_on_and_holds_no_share_of_the_square():
    text = compiled_step(similarity="ring")
    b = 2 * B // DEVICES
    kinds = {(f"f32[{b},{D}]", "collective-permute")}
    assert kinds <= set(moved(text)) <= kinds | {(f"s32[{b}]", "collective-permute")}
    shapes = set(re.findall(r"\w+\[([\d,]+)\]", text))
    assert f"{b},{b}" in shapes
    assert not {f"{b},{2 * B}", f"{2 * B},{2 * B}", f"{B},{B}"} & shapes


def test_an_unknown_form_is_refused_before_anything_is_compiled():
    with pytest.raises(ValueError, match="similarity = 'dense' must be one of"):
        simclr(ENCODERS["convnet"](), two_crops(size=8), similarity="dense")


def test_the_scale_multiplies_loss_and_chance():
    encoder = ENCODERS["convnet"](widths=(8,))
    views = jax.random.uniform(jax.random.key(1), (4, 2, 8, 8, 3))
    values = {}
    for scale in (1.0, 2.0):
        method = simclr(encoder, two_crops(size=8), hidden_dim=16, scale=scale)
        params, state = method.init(jax.random.key(0), views)
        loss = method.loss(params, state, views, key=jax.random.key(2), step=0)[0]
        values[scale] = float(loss), method.health.chance(4)
    # The sum of two cross-entropies of B rows each: a head that tells nothing apart is
    # at 2 ln(2 B - 1).
    assert values[2.0][0] == 2 * values[1.0][0]
    assert values[2.0][1] == pytest.approx(2 * math.log(7))
    decoupled = simclr(encoder, two_crops(size=8), decoupled=True)
    assert decoupled.health.chance(4) == pytest.approx(math.log(6))
