"""Triplet learning's own laws; the battery is in `tests/test_contract.py`."""

import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.mlp import MLP
from tests.images import plain_views
from tests.methods.pairs import losses, made, projected, random_views
from tests.references import triplet as reference


@pytest.mark.parametrize("mining", ["all", "semi-hard"])
def test_loss_is_that_of_the_projections(rng, mining):
    views = random_views(rng)
    settings = {"output_dim": 6, "mining": mining, "margin": 0.5}
    method, params, state = made("triplet", views, **settings)
    value, (_, metrics) = losses(method)(params, state, views)
    flat = views.reshape(-1, *views.shape[2:])
    z = projected(method, params, state.stats, flat, MLP((6,)))
    expected, _, active = reference.triplet(z.reshape(16, 2, 6), 0.5, mining)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["active_fraction"], active, rtol=1e-5)
    assert 0 < metrics["output_std"] < 1 / np.sqrt(6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": -1.0}, "margin = -1.0 must be positive"),
        ({"mining": "hardest"}, "mining = 'hardest' must be one of"),
        ({"head_layers": 0}, "head_layers = 0 must be at least 1"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["triplet"](ENCODERS["convnet"](), plain_views, **settings)
