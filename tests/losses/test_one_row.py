"""Every loss that compares rows refuses a batch of one."""

import jax
import jax.numpy as jnp
import pytest

from jax_ssl.losses.contrastive import info_nce_in_batch, nt_xent
from jax_ssl.losses.redundancy import barlow_twins, vicreg
from jax_ssl.losses.triplet import triplet
from jax_ssl.nn.mlp import MLP
from jax_ssl.ops.sinkhorn import sinkhorn


def normed(rows):
    """Batch norm in two groups, as in the heads of BYOL and SimSiam."""
    model, x = MLP(widths=(3, 3), groups=2), jnp.ones((rows, 4))
    variables = model.init(jax.random.key(0), x, train=True)
    return model.apply(variables, x, train=True, mutable=["batch_stats"])


LOSSES = {
    "nt_xent": lambda rows: nt_xent(jnp.ones((rows, 2, 3)), temperature=0.5),
    "info_nce": lambda rows: info_nce_in_batch(
        *jnp.ones((2, rows, 3)), temperature=0.5
    ),
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
