"""SupCon's own laws; the battery is in `tests/test_contract.py`."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.case import Case
from tests.images import labelled_pair
from tests.methods.errors import B, Comparison, errors
from tests.references import methods as reference

HEAD = {"hidden_dim": 16, "output_dim": 8}
CASES = {
    # The class is the brightest channel, about five images of each in a batch: the
    # least loss of an anchor is the logarithm of its positives.
    "supcon": Case(
        "supcon",
        {**HEAD, "temperature": 0.2},
        labelled_pair,
        share=0.7,
        least_loss=math.log(9),
        learning_rate=0.02,
    ),
    "supcon-inside-ring": Case(
        "supcon",
        {**HEAD, "temperature": 0.2, "mean": "inside", "similarity": "ring"},
        labelled_pair,
        share=0.7,
        least_loss=math.log(9),
        learning_rate=0.02,
    ),
}


def labelled(rng):
    """Two views of each image, and labels of which some are shared."""
    images = rng.uniform(size=(B, 2, 3, 3, 1))
    return {"image": images, "label": np.array([0, 2, 0, 1, 1, 0, 3, 1], np.int32)}


@pytest.mark.parametrize("mean", ["outside", "inside"])
def test_loss_gradient_and_state_are_float64s(mean):
    settings = {"temperature": 0.5, "mean": mean, "scale": 0.7}
    told = functools.partial(reference.supcon, **settings)
    settings |= {"hidden_dim": 8, "output_dim": 4}
    found = errors(Comparison("supcon", settings, told, views=labelled))
    assert all(error < 1e-5 for error in found.values()), found


def test_labels_move_the_loss_and_what_is_learned():
    """Of the same images and params, without any shared label, it is another loss."""
    method = METHODS["supcon"](ENCODERS["convnet"](widths=(4, 8)), None, **HEAD)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(size=(8, 2, 8, 8, 3)), jnp.float32)
    shared = {"image": images, "label": jnp.arange(8) % 2}
    params, state = jax.jit(method.init)(jax.random.key(0), shared)
    loss = jax.jit(functools.partial(method.loss, key=jax.random.key(1), step=0))
    value, (_, metrics) = loss(params, state, shared)
    alone, _ = loss(params, state, {**shared, "label": jnp.arange(8)})
    assert abs(value - alone) > 1e-2
    assert 0 <= metrics["contrastive_accuracy"] <= 1
    assert method.health.chance(8) == math.log(15)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature = -1.0 must be positive"),
        ({"scale": 0.0}, "scale = 0.0 must be positive"),
        ({"mean": "middle"}, "mean = 'middle' must be one of"),
        ({"similarity": "dense"}, "similarity = 'dense' must be one of"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["supcon"](ENCODERS["convnet"](), None, **settings)


def test_a_batch_of_one_image_is_refused():
    method = METHODS["supcon"](ENCODERS["convnet"](widths=(4, 8)), None, **HEAD)
    views = {"image": jnp.zeros((1, 2, 8, 8, 3)), "label": jnp.zeros(1, jnp.int32)}
    params, state = jax.eval_shape(method.init, jax.random.key(0), views)
    with pytest.raises(ValueError, match="supcon needs 2 rows or more"):
        jax.eval_shape(
            functools.partial(method.loss, key=jax.random.key(0), step=0),
            params,
            state,
            views,
        )
