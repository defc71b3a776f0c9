"""Every loss that compares rows refuses a batch of one."""

import jax
import jax.numpy as jnp
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.losses.redundancy import barlow_twins, vicreg
from jax_ssl.losses.triplet import triplet
from jax_ssl.methods import METHODS
from jax_ssl.nn.mlp import MLP
from jax_ssl.ops.sinkhorn import sinkhorn


def normed(rows):
    """Batch norm in two groups, as in the heads of BYOL and SimSiam."""
    model, x = MLP(widths=(3, 3), groups=2), jnp.ones((rows, 4))
    variables = model.init(jax.random.key(0), x, train=True)
    return model.apply(variables, x, train=True, mutable=["batch_stats"])


LOSSES = {
    "barlow_twins": lambda rows: barlow_twins(jnp.ones((rows, 2, 3))),
    "vicreg": lambda rows: vicreg(jnp.ones((rows, 2, 3))),
    "triplet": lambda rows: triplet(jnp.ones((rows, 2, 3)), margin=0.5),
    "sinkhorn": lambda rows: sinkhorn(jnp.ones((rows, 3))),
    "batch norm": lambda rows: normed(2 * rows),
}


@pytest.mark.parametrize("name", LOSSES)
def test_one_row_is_refused_and_two_are_not(name):
    LOSSES[name](2)
    with pytest.raises(ValueError, match=r"2 rows or more.*raise feed\.batch_size"):
        LOSSES[name](1)


@pytest.mark.parametrize("name", ["simclr", "moco_v3"])
def test_a_method_that_contrasts_within_the_batch_refuses_one_row(name):
    """Their losses of one row are defined, and 0."""
    encoder = ENCODERS["convnet"](widths=(4,))
    method = METHODS[name](encoder, None, hidden_dim=4, output_dim=4)
    views = jnp.ones((1, 2, 8, 8, 3))
    params, state = method.init(jax.random.key(0), views)
    with pytest.raises(ValueError, match=f"{name} needs 2 rows or more"):
        method.loss(params, state, views, key=jax.random.key(0), step=jnp.int32(0))
