"""W-MSE's own laws; the battery is in `tests/test_contract.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.network import Network
from tests.methods.pairs import losses, made, random_views
from tests.references import redundancy as reference

SETTINGS = {"hidden_dim": 16, "output_dim": 3, "sub_batch_size": 8, "shrinkage": 0.1}


@pytest.mark.parametrize("count", [2, 4])
def test_loss_is_that_of_the_embeddings_in_shared_partitions(rng, count):
    views = random_views(rng, count=count)
    method, params, state = made("w_mse", views, **SETTINGS, iterations=2)
    value, _ = losses(method)(params, state, views)
    # One view at a time through the encoder, all together through the projector.
    net = Network(encoder=method.encoder, projector=MLP((16, 3), use_bias=False))
    encoder = {"encoder": params["encoder"]}
    pooled = [
        net(encoder, state.stats, views[:, v])[0]["encoder"].pooled
        for v in range(count)
    ]
    head = {"projector": params["projector"]}
    z = net(head, state.stats, jnp.concatenate(pooled))[0]["projector"]
    z = np.asarray(z).reshape(count, 16, 3).swapaxes(0, 1)
    keys = jax.random.split(jax.random.key(1), 2)
    orders = [np.asarray(jax.random.permutation(key, 16)) for key in keys]
    expected = reference.w_mse(z, orders, 8, shrinkage=0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_each_step_has_partitions_of_its_own(rng):
    views = random_views(rng)
    method, params, state = made("w_mse", views, **SETTINGS)
    values = [
        jax.jit(method.loss)(params, state, views, key=jax.random.key(i), step=0)[0]
        for i in range(2)
    ]
    assert values[0] != values[1]


def test_sub_batches_must_fit_the_batch_and_the_embedding(rng):
    views = random_views(rng)
    with pytest.raises(ValueError, match=r"16 images cannot be cut .* of 12; "):
        made("w_mse", views, **{**SETTINGS, "sub_batch_size": 12})
    with pytest.raises(ValueError, match=r"sub_batch_size = 64 .* use 128 or more"):
        made("w_mse", views, sub_batch_size=64)
    with pytest.raises(ValueError, match="iterations = 0"):
        made("w_mse", views, **SETTINGS, iterations=0)
