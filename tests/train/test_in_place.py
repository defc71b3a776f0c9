"""A step writes params and optimizer state over the old ones and copies none."""

import re

import jax
import optax
import pytest

from jax_ssl.train.step import init, train_step
from tests import images
from tests.cases import METHODS_UNDER_TEST

COPIED = re.compile(r"= (\w+\[[\d,]+\])\S* copy\(%?(train_(?:params|opt_state)\w*)")


@pytest.mark.parametrize("name", ["simclr", "byol", "mae"])
def test_no_old_array_is_copied_to_be_looked_at(name):
    method, batch, key = (
        METHODS_UNDER_TEST[name].build(),
        images.batch(),
        jax.random.key(0),
    )
    tx = optax.adam(1e-3)
    train = jax.eval_shape(lambda key: init(method, tx, key, batch), key)
    step = jax.jit(
        lambda train, batch: train_step(method, tx, train, batch), donate_argnums=0
    )
    text = step.lower(train, batch).compile().as_text()
    assert all(word in text for word in ("train_params", "train_opt_state"))
    found = {name: shape for shape, name in COPIED.findall(text) if "," in shape}
    assert found == {}
