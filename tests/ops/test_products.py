"""Products and broadcasts with gradients of their own, against float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.ops.products import dense, spread
from jax_ssl.parallel.mesh import BATCH_AXES, make_mesh

SHAPES = [(5, 3), (4, 6, 3), (2, 3, 4, 5), (1, 2), (3,)]


def weight(shape):
    return np.sin(np.arange(np.prod(shape)).reshape(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_dense_is_the_product_and_its_gradients(rng, shape):
    x, kernel = rng.normal(size=shape), rng.normal(size=(shape[-1], 4))
    g = weight((*shape[:-1], 4))

    def total(x, kernel):
        return (dense(x, kernel) * g).sum()

    args = [jnp.asarray(a, jnp.float32) for a in (x, kernel)]
    np.testing.assert_allclose(jax.jit(dense)(*args), x @ kernel, rtol=1e-5, atol=1e-5)
    to_x, to_kernel = jax.jit(jax.grad(total, (0, 1)))(*args)
    np.testing.assert_allclose(to_x, g @ kernel.T, rtol=1e-5, atol=1e-5)
    want = x.reshape(-1, shape[-1]).T @ g.reshape(-1, 4)
    np.testing.assert_allclose(to_kernel, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_spread_sums_its_gradient_over_all_but_the_last_axis(rng, shape):
    vector = jnp.asarray(rng.normal(size=shape[-1:]), jnp.float32)
    g = weight(shape)
    np.testing.assert_array_equal(spread(vector, shape), np.broadcast_to(vector, shape))
    found = jax.jit(jax.grad(lambda v: (spread(v, shape) * g).sum()))(vector)
    want = g.reshape(-1, shape[-1]).sum(0)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def test_second_derivatives_go_through_both(rng):
    x, kernel = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
    bias = rng.normal(size=2)

    def squared(x, kernel, bias):  # |d/dx of sum(y^2) / 2|^2 = |y kernel^T|^2.
        y = lambda x: dense(x, kernel) + spread(bias, (4, 2))
        return jnp.square(jax.grad(lambda x: jnp.square(y(x)).sum() / 2)(x)).sum()

    args = [jnp.asarray(a, jnp.float32) for a in (x, kernel, bias)]
    _, to_kernel, to_bias = jax.jit(jax.grad(squared, (0, 1, 2)))(*args)
    y = x @ kernel + bias
    r = y @ kernel.T
    np.testing.assert_allclose(to_bias, 2 * (r @ kernel).sum(0), rtol=1e-4)
    want = 2 * (x.T @ (r @ kernel)) + 2 * r.T @ y
    np.testing.assert_allclose(to_kernel, want, rtol=1e-4)


@pytest.mark.parametrize("inside", [True, False], ids=["shard_map", "jit"])
def test_gradients_of_sharded_rows_are_those_of_all(rng, inside):
    mesh = make_mesh(devices=jax.devices()[:4])
    x, kernel = rng.normal(size=(8, 3, 5)), rng.normal(size=(5, 2))
    g = weight((8, 3, 2))

    def total(kernel, bias, x, g):
        y = dense(x, kernel) + spread(bias, (*x.shape[:-1], 2))
        found = (y * g).sum()
        return lax.psum(found, BATCH_AXES) if inside else found

    rows = P(BATCH_AXES)
    fn = jax.value_and_grad(total, (0, 1))
    if inside:
        specs = {"in_specs": (P(), P(), rows, rows), "out_specs": P()}
        fn = jax.grad(jax.shard_map(total, mesh=mesh, **specs), (0, 1))
    else:
        fn = jax.grad(total, (0, 1))
    place = lambda a: jax.device_put(
        jnp.asarray(a, jnp.float32), NamedSharding(mesh, rows)
    )
    params = [jnp.asarray(a, jnp.float32) for a in (kernel, np.zeros(2))]
    to_kernel, to_bias = jax.jit(fn)(*params, place(x), place(g))
    want = np.einsum("bnd,bno->do", x, g)
    np.testing.assert_allclose(to_kernel, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_bias, g.sum((0, 1)), rtol=1e-5, atol=1e-5)
