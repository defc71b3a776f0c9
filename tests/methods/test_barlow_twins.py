"""Barlow Twins' own laws; the battery is in `tests/test_contract.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.network import Network
from tests.leaves import assert_close
from tests.methods.pairs import losses, made, random_views
from tests.references import redundancy as reference

SETTINGS = {"hidden_dim": 16, "output_dim": 6}


def test_loss_and_terms_are_those_of_the_embeddings(rng):
    views = random_views(rng)
    method, params, state = made("barlow_twins", views, **SETTINGS, scale=0.5)
    value, (after, metrics) = losses(method)(params, state, views)
    # Batch norm sees one view at a time, and its statistics move once for each.
    head = MLP((16, 16, 6), use_bias=False)
    net, stats, z = Network(encoder=method.encoder, projector=head), state.stats, []
    for v in range(2):
        out, stats = net(params, stats, views[:, v])
        z.append(out["projector"])
    expected, invariance, redundancy = reference.barlow_twins(np.stack(z, 1), 0.0051)
    np.testing.assert_allclose(value, 0.5 * expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["invariance"], invariance, rtol=1e-4)
    np.testing.assert_allclose(metrics["redundancy"], redundancy, rtol=1e-4)
    assert_close(after.stats, stats, rtol=1e-5)


def test_projector_is_three_layers_without_bias(rng):
    _, params, _ = made("barlow_twins", random_views(rng), **SETTINGS)
    shapes = jax.tree.map(jnp.shape, params["projector"])
    assert shapes["dense2"] == {"kernel": (16, 6)}
    assert set(shapes) == {"dense0", "norm0", "dense1", "norm1", "dense2"}


@pytest.mark.parametrize("setting", ["redundancy_weight", "scale"])
def test_numbers_must_be_positive(rng, setting):
    with pytest.raises(ValueError, match=f"{setting} = 0"):
        made("barlow_twins", random_views(rng), **{setting: 0.0})
