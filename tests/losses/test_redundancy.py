"""Barlow Twins, VICReg and W-MSE against float64 loops, and the papers' identities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.redundancy import barlow_twins, vicreg, w_mse
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.references import redundancy as reference

LAMBDA = 0.0051
SHAPES = [(3, 2, 3), (7, 2, 5), (32, 2, 17)]


@functools.partial(jax.jit, static_argnums=0)
def graded(loss, z):
    return jax.value_and_grad(loss)(z)


# Compiled, so that rows of operations are not compiled one by one.
@jax.jit
def of_barlow(z):
    return barlow_twins(z, redundancy_weight=LAMBDA)[0]


@jax.jit
def of_vicreg(z):
    return vicreg(z)[0]


vicreg_terms = jax.jit(lambda z: vicreg(z)[1])
whitening = jax.jit(w_mse, static_argnames=("size", "distance"))


REFERENCES = {
    of_barlow: lambda z: reference.barlow_twins(z, LAMBDA)[0],
    of_vicreg: lambda z: reference.vicreg(z)[0],
}


def whitened(rng, B, D, ddof):
    """[B, D] with zero mean and the identity as covariance."""
    x = rng.normal(size=(B, D))
    q, _ = np.linalg.qr(np.concatenate([np.ones((B, 1)), x], axis=1))
    return q[:, 1:] * np.sqrt(B - ddof)


def assert_slopes(gradient, loss, z, rng, tolerance=1e-5):
    """The gradient's product with random directions is the reference's slope."""
    z = np.asarray(z, np.float64)
    for _ in range(3):
        direction = rng.normal(size=z.shape)
        got = np.sum(np.asarray(gradient, np.float64) * direction)
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs(got - reference.slope(loss, z, direction)) <= tolerance * scale


@pytest.mark.parametrize("loss", REFERENCES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradient_match_float64_loops(rng, loss, shape):
    z = rng.normal(0.5, 0.8, shape).astype(np.float32)
    value, gradient = graded(loss, z)
    np.testing.assert_allclose(value, REFERENCES[loss](z), rtol=1e-5)
    assert_slopes(gradient, REFERENCES[loss], z, rng)


@pytest.mark.parametrize("loss", REFERENCES, ids=lambda loss: loss.__name__)
def test_two_rows_are_enough(rng, loss):
    # Two standardised rows are 1 and -1 whatever they were: no gradient but rounding.
    z = rng.normal(size=(2, 2, 4)).astype(np.float32)
    value, gradient = graded(loss, z)
    np.testing.assert_allclose(value, REFERENCES[loss](z), rtol=1e-5)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", REFERENCES, ids=lambda loss: loss.__name__)
def test_half_precision_embeddings_are_widened_first(rng, loss):
    z = jnp.asarray(rng.normal(size=(9, 2, 6)), jnp.bfloat16)
    value = loss(z)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, REFERENCES[loss](np.float64(z)), rtol=1e-5)


@pytest.mark.parametrize("loss", REFERENCES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(("devices", "fsdp"), [(2, 1), (8, 2)])
def test_the_number_of_devices_does_not_matter(rng, loss, devices, fsdp):
    z = rng.normal(size=(32, 2, 9)).astype(np.float32)
    expected, expected_gradient = graded(loss, z)
    mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
    with jax.set_mesh(mesh):
        value, gradient = graded(loss, jax.device_put(z, row_sharding(mesh)))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


class TestBarlowTwins:
    def test_terms_are_the_reference_s(self, rng):
        z = rng.normal(size=(6, 2, 4)).astype(np.float32)
        terms = jax.jit(lambda z: barlow_twins(z)[1])(z)
        _, invariance, redundancy = reference.barlow_twins(z, LAMBDA)
        np.testing.assert_allclose(terms["invariance"], invariance, rtol=1e-5)
        np.testing.assert_allclose(terms["redundancy"], redundancy, rtol=1e-5)

    def test_equal_whitened_views_have_no_loss(self, rng):
        x = whitened(rng, 12, 5, ddof=0)
        z = np.stack([x, x], axis=1).astype(np.float32)
        assert of_barlow(z) < 1e-8  # D ε² of the variance's epsilon.

    @pytest.mark.parametrize("D", [4, 33])
    def test_constant_features_lose_one_each(self, D):
        np.testing.assert_allclose(of_barlow(np.full((8, 2, D), 3.0)), D, rtol=1e-6)

    def test_one_feature_repeated(self, rng):
        D = 7
        z = np.broadcast_to(rng.normal(size=(64, 1, 1)), (64, 2, D))
        np.testing.assert_allclose(of_barlow(z), LAMBDA * D * (D - 1), rtol=1e-4)

    def test_independent_views(self, rng):
        B, D = 50, 40
        z = rng.normal(size=(B, 2, D)).astype(np.float32)
        # A squared correlation of independent columns has mean 1 / (B - 1).
        mean = D * (1 + 1 / (B - 1)) + LAMBDA * D * (D - 1) / (B - 1)
        np.testing.assert_allclose(of_barlow(z), mean, rtol=0.15)

    def test_channels_may_be_moved_flipped_and_rescaled(self, rng):
        z = rng.normal(size=(16, 2, 6)).astype(np.float32)
        order, signs = rng.permutation(6), rng.choice([-1, 1], 6)
        np.testing.assert_allclose(of_barlow(z[..., order]), of_barlow(z), rtol=1e-5)
        np.testing.assert_allclose(of_barlow(signs * z), of_barlow(z), rtol=1e-5)
        scale = rng.uniform(1, 20, (2, 6)).astype(np.float32)
        moved = scale * z + rng.normal(size=(2, 6)).astype(np.float32)
        np.testing.assert_allclose(of_barlow(moved), of_barlow(z), rtol=1e-4)

    def test_views_are_exchangeable(self, rng):
        z = rng.normal(size=(16, 2, 6)).astype(np.float32)
        np.testing.assert_allclose(of_barlow(z[:, ::-1]), of_barlow(z), rtol=1e-5)


class TestVICReg:
    def test_terms_are_the_reference_s(self, rng):
        z = rng.normal(0, 0.7, size=(6, 2, 4)).astype(np.float32)
        weights = {"invariance": 3.0, "variance": 2.0, "covariance": 0.5}
        settings = {f"{name}_weight": weight for name, weight in weights.items()}
        value, terms = jax.jit(functools.partial(vicreg, **settings))(z)
        expected, *wanted = reference.vicreg(z, (3.0, 2.0, 0.5))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        names = ("invariance", "variance", "covariance")
        np.testing.assert_allclose([terms[n] for n in names], wanted, rtol=1e-5)

    def test_constant_features_lose_the_variance_term(self):
        terms = vicreg_terms(np.full((8, 2, 5), 2.0))
        assert terms["invariance"] == terms["covariance"] == 0
        np.testing.assert_allclose(terms["variance"], 0.99, rtol=1e-6)
        np.testing.assert_allclose(of_vicreg(np.ones((8, 2, 5))), 24.75, rtol=1e-6)

    def test_equal_whitened_views_have_no_loss(self, rng):
        x = whitened(rng, 12, 5, ddof=1)
        z = np.stack([x, x], axis=1).astype(np.float32)
        assert of_vicreg(z) < 1e-10

    def test_twice_the_features(self, rng):
        z = rng.normal(0, 2, size=(32, 2, 6)).astype(np.float32)
        once, twice = vicreg_terms(z), vicreg_terms(2 * z)
        assert once["variance"] == twice["variance"] == 0
        np.testing.assert_allclose(twice["invariance"], 4 * once["invariance"], 1e-6)
        np.testing.assert_allclose(twice["covariance"], 16 * once["covariance"], 1e-6)

    def test_signs_of_channels_do_not_matter_to_the_covariance(self, rng):
        z = rng.normal(size=(16, 2, 6)).astype(np.float32)
        signs = rng.choice([-1, 1], (2, 6))
        got, want = vicreg_terms(signs * z), vicreg_terms(z)
        np.testing.assert_allclose(got["covariance"], want["covariance"], rtol=1e-5)

    def test_one_row_is_refused(self):
        with pytest.raises(ValueError, match="2 rows or more"):
            vicreg(np.ones((1, 2, 3)))


def partitions(rng, count, B):
    return np.stack([rng.permutation(B) for _ in range(count)])


class TestWMSE:
    @pytest.mark.parametrize(
        ("shape", "size"), [((8, 2, 3), 8), ((24, 2, 4), 12), ((24, 4, 5), 12)]
    )
    @pytest.mark.parametrize("distance", ["cosine", "euclidean"])
    def test_value_and_gradient_match_float64_loops(self, rng, shape, size, distance):
        z = (rng.normal(size=shape) @ rng.normal(size=(shape[2],) * 2)).astype("f4")
        orders = partitions(rng, 2, shape[0])
        settings = {"size": size, "distance": distance, "shrinkage": 0.1}
        loss = functools.partial(w_mse, **settings)
        value, gradient = jax.jit(jax.value_and_grad(loss))(z, orders)
        expected = functools.partial(reference.w_mse, orders=orders, **settings)
        np.testing.assert_allclose(value, expected(z), rtol=1e-5)
        assert_slopes(gradient, expected, z, rng)

    @pytest.fixture
    def case(self, rng):
        z = rng.normal(size=(64, 2, 4)).astype(np.float32)
        z[:, 1] = z[:, 0] + 0.5 * z[:, 1]
        return z, partitions(rng, 1, 64)

    def test_equal_views_have_no_loss_and_independent_ones_two(self, rng, case):
        z, orders = case
        assert whitening(z[:, [0, 0]], orders, size=32) < 1e-9
        z = rng.normal(size=(1024, 2, 4)).astype(np.float32)
        value = whitening(z, partitions(rng, 1, 1024), size=128)
        np.testing.assert_allclose(value, 2, rtol=0.1)

    def test_a_lower_triangular_map_changes_nothing(self, rng, case):
        z, orders = case
        lower = np.tril(rng.normal(size=(4, 4)))
        np.fill_diagonal(lower, rng.uniform(0.5, 2, 4))
        moved = (z @ lower.T + rng.normal(size=4)).astype(np.float32)
        np.testing.assert_allclose(
            whitening(moved, orders, size=32),
            whitening(z, orders, size=32),
            rtol=1e-4,
        )

    def test_only_who_shares_a_sub_batch_matters(self, rng, case):
        z, orders = case
        inside = orders.reshape(-1, 32)
        shuffled = np.concatenate([rng.permutation(part) for part in inside[::-1]])
        np.testing.assert_allclose(
            whitening(z, shuffled[None], size=32),
            whitening(z, orders, size=32),
            rtol=1e-5,
        )

    def test_partitions_are_averaged(self, rng, case):
        z, _ = case
        orders = partitions(rng, 3, 64)
        each = [whitening(z, order[None], size=16) for order in orders]
        value = whitening(z, orders, size=16)
        np.testing.assert_allclose(value, np.mean(each), rtol=1e-6)

    @pytest.mark.parametrize("devices", [2, 8])
    def test_the_number_of_devices_does_not_matter(self, case, devices):
        z, orders = case
        graded = jax.jit(jax.value_and_grad(functools.partial(w_mse, size=16)))
        expected, expected_gradient = graded(z, orders)
        mesh = make_mesh(devices=jax.devices()[:devices])
        with jax.set_mesh(mesh):
            value, gradient = graded(jax.device_put(z, row_sharding(mesh)), orders)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)

    def test_refusals_name_the_value(self, case):
        z, orders = case
        with pytest.raises(ValueError, match="64 rows into sub-batches of size = 24"):
            w_mse(z, orders, size=24)
        with pytest.raises(ValueError, match="4 rows cannot be whitened in 4 dim"):
            w_mse(z, orders, size=4)
        with pytest.raises(ValueError, match="distance = 'l1'"):
            w_mse(z, orders, size=32, distance="l1")
        with pytest.raises(ValueError, match="2 or more, not 1"):
            w_mse(z[:, :1], orders, size=32)
