"""A loss that the library does not have yet, from the masked log-sum-exp."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.ring import logsumexp_over_rows
from tests.references import contrastive as reference

TAU = 0.2


def check(rng, loss, want, z):
    value, gradient = jax.jit(jax.value_and_grad(loss))(z)
    np.testing.assert_allclose(value, want(z), rtol=1e-5)
    direction = rng.normal(size=z.shape)
    z = z.astype(np.float64)
    slope = (want(z + 1e-5 * direction) - want(z - 1e-5 * direction)) / 2e-5
    np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-4)


def test_decoupled(rng):
    z = rng.normal(size=(9, 2, 6)).astype(np.float32)
    images = jnp.arange(18) // 2

    def loss(z):
        unit = l2_normalize(z)
        positive = jnp.sum(unit * unit[:, ::-1], -1).reshape(18)
        rows = unit.reshape(18, 6)
        lse, _ = logsumexp_over_rows(
            rows,
            rows,
            positive,
            scale=1 / TAU,
            x_ids=images,
            y_ids=images,
            block=4,
        )
        return lse.mean()

    want = functools.partial(reference.decoupled, temperature=TAU)
    check(rng, loss, want, z)
