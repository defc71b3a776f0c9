"""VICReg's own laws; the battery is in `tests/test_contract.py`."""

import numpy as np
import pytest

from jax_ssl.nn.mlp import MLP
from tests.methods.pairs import losses, made, projected, random_views
from tests.references import redundancy as reference

WEIGHTS = {"invariance_weight": 5.0, "variance_weight": 7.0, "covariance_weight": 2.0}


def test_loss_and_terms_are_those_of_the_embeddings(rng):
    views = random_views(rng)
    method, params, state = made(
        "vicreg", views, hidden_dim=16, output_dim=6, **WEIGHTS
    )
    value, (_, metrics) = losses(method)(params, state, views)
    head = MLP((16, 16, 6), use_bias=False)
    z = [projected(method, params, state.stats, views[:, v], head) for v in range(2)]
    expected, *terms = reference.vicreg(np.stack(z, 1), (5.0, 7.0, 2.0))
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    for name, term in zip(("invariance", "variance", "covariance"), terms, strict=True):
        np.testing.assert_allclose(metrics[name], term, rtol=1e-4)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_must_not_be_negative(rng, name):
    with pytest.raises(ValueError, match=f"{name} = -1"):
        made("vicreg", random_views(rng), **{name: -1.0})
