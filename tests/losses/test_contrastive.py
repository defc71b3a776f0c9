"""NT-Xent against float64 loops, and the identities of the paper, in both forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.contrastive import nt_xent, nt_xent_with_accuracy
from tests.references import contrastive as reference

# The temperature is traced: one compilation serves all temperatures of a shape.
compiled = jax.jit(
    jax.value_and_grad(lambda z, t, form="auto": nt_xent(z, temperature=t, form=form)),
    static_argnames="form",
)
value_of = jax.jit(lambda z, t: nt_xent(z, temperature=t))
with_accuracy = jax.jit(nt_xent_with_accuracy, static_argnames=("form", "decoupled"))
both_forms = pytest.mark.parametrize("form", ["gather", "ring"])


def same_views(x):
    return np.repeat(x[:, :1], 2, axis=1)


KINDS = {
    "plain": lambda rng, x: x,
    "positive orthant": lambda rng, x: np.abs(x),
    "identical positives": lambda rng, x: same_views(x),
    "near positives": lambda rng, x: same_views(x) + 1e-3 * x,
    "identical images": lambda rng, x: np.repeat(x[:1], len(x), axis=0),
    "nearly collapsed": lambda rng, x: x[:1, :1] + 0.1 * x,
    "huge": lambda rng, x: 1e30 * x,
    "tiny": lambda rng, x: 1e-20 * x,
    "mixed scales": lambda rng, x: x * 10.0 ** rng.integers(-9, 25, (len(x), 2, 1)),
}


def assert_agrees(z, temperature, form):
    tolerance = 1e-5 if temperature >= 0.05 else 1e-3
    z = np.asarray(z, np.float32)
    value, gradient = compiled(z, temperature, form=form)
    expected, expected_gradient = reference.nt_xent(z, temperature)
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=1e-36)
    error = np.linalg.norm(np.asarray(gradient, np.float64) - expected_gradient)
    assert error <= tolerance * np.linalg.norm(expected_gradient) + 1e-36


@both_forms
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 8), (17, 128)], ids=str)
def test_value_and_gradient_match_float64_loops(rng, kind, shape, form):
    B, D = shape
    z = KINDS[kind](rng, rng.normal(size=(B, 2, D)))
    for temperature in (0.5, 0.05, 0.005):
        assert_agrees(z, temperature, form)


@both_forms
@pytest.mark.parametrize("kind", ["plain", "identical positives", "identical images"])
def test_the_decoupled_loss_matches_float64_loops(rng, kind, form):
    z = KINDS[kind](rng, rng.normal(size=(9, 2, 6))).astype(np.float32)

    def of(z):
        return nt_xent(z, temperature=0.2, form=form, decoupled=True)

    def expected(z):
        return reference.decoupled(z, 0.2)

    value, gradient = jax.jit(jax.value_and_grad(of))(z)
    np.testing.assert_allclose(value, expected(z), rtol=1e-5)
    direction, step = rng.normal(size=z.shape), 1e-5
    z = z.astype(np.float64)
    ahead, behind = (expected(z + sign * step * direction) for sign in (1, -1))
    slope = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(
        np.sum(gradient * direction), slope, rtol=1e-4, atol=1e-6
    )


@both_forms
def test_decoupling_takes_the_share_of_the_positive_away(rng, form):
    z = rng.normal(size=(9, 2, 6)).astype(np.float32)
    accuracy = with_accuracy(z, temperature=0.2, form=form, decoupled=True)[1]
    assert accuracy == pytest.approx(reference.nt_xent_accuracy(z))
    # All anchors alike, so that the law of one is that of their mean.
    alike = np.repeat(np.eye(4, 6, dtype=np.float32)[:, None], 2, axis=1)
    whole, less = (
        with_accuracy(alike, temperature=0.2, form=form, decoupled=decoupled)[0]
        for decoupled in (False, True)
    )
    np.testing.assert_allclose(less - whole, np.log1p(-np.exp(-whole)), rtol=1e-5)


def test_a_single_pair_cannot_be_decoupled():
    with pytest.raises(ValueError, match="a single pair has no negatives"):
        nt_xent(jnp.ones((1, 2, 3)), temperature=0.1, decoupled=True)


@both_forms
@pytest.mark.parametrize("kind", ["plain", "identical positives", "huge"])
def test_a_larger_batch_matches_float64_loops(rng, kind, form):
    assert_agrees(KINDS[kind](rng, rng.normal(size=(64, 2, 128))), 0.05, form)


def test_reference_gradient_matches_central_differences(rng):
    z = rng.normal(size=(3, 2, 4))
    _, gradient = reference.nt_xent(z, 0.3)
    direction = rng.normal(size=z.shape)
    ahead, _ = reference.nt_xent(z + 1e-5 * direction, 0.3)
    behind, _ = reference.nt_xent(z - 1e-5 * direction, 0.3)
    slope = np.sum(gradient * direction)
    np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-8)


@both_forms
@pytest.mark.parametrize("B", [2, 17])
def test_equal_rows_give_log_of_the_candidates_and_no_gradient(rng, B, form):
    z = np.broadcast_to(rng.normal(size=8), (B, 2, 8)).astype(np.float32)
    for temperature in (1.0, 0.05, 0.005):
        value, gradient = compiled(z, temperature, form=form)
        # The ring takes the positive from another product, which rounds by itself.
        rtol = 1e-6 if form == "gather" else max(1e-6, 1e-7 / temperature)
        np.testing.assert_allclose(value, np.log(2 * B - 1), rtol=rtol)
        assert np.abs(gradient).max() * temperature < 1e-7


def test_orthogonal_rows_give_log_of_the_candidates():
    z = jnp.eye(16).reshape(8, 2, 16)
    np.testing.assert_allclose(value_of(z, 0.1), np.log(15), rtol=1e-6)


def test_perfect_positives_and_orthogonal_negatives():
    B = 8
    z = jnp.repeat(jnp.eye(B)[:, None], 2, axis=1)
    for temperature in (0.5, 0.1, 0.05):
        expected = np.log1p((2 * B - 2) * np.exp(-1 / temperature))
        np.testing.assert_allclose(value_of(z, temperature), expected, rtol=1e-6)


@both_forms
@pytest.mark.parametrize("D", [1, 5])
def test_a_single_image_has_no_loss(rng, D, form):
    z = rng.normal(size=(1, 2, D)).astype(np.float32)
    value, gradient = compiled(z, 0.1, form=form)
    assert value == 0
    assert not np.asarray(gradient).any()


def test_in_one_dimension_only_signs_count(rng):
    z = rng.uniform(0.5, 2, size=(5, 2, 1)) * rng.choice([-1, 1], size=(5, 2, 1))
    value, gradient = compiled(z.astype(np.float32), 0.05)
    np.testing.assert_allclose(value, reference.nt_xent(z, 0.05)[0], rtol=1e-5)
    assert np.abs(gradient).max() < 1e-5  # No direction to move in: 0 but for rounding.


@both_forms
def test_rows_of_zeros_are_finite_and_similar_to_none(rng, form):
    z = rng.normal(size=(4, 2, 6)).astype(np.float32)
    z[1, 0] = 0
    value, gradient = compiled(z, 0.1, form=form)
    np.testing.assert_allclose(value, reference.nt_xent(z, 0.1)[0], rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient[1, 0]).any()


class TestInvariances:
    @pytest.fixture
    def z(self, rng):
        return rng.normal(size=(6, 2, 8)).astype(np.float32)

    def test_common_rotation(self, rng, z):
        rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
        turned = (z @ rotation).astype(np.float32)
        np.testing.assert_allclose(value_of(turned, 0.1), value_of(z, 0.1), rtol=1e-5)

    def test_length_of_every_row(self, rng, z):
        scaled = (z * rng.uniform(0.01, 100, size=(6, 2, 1))).astype(np.float32)
        np.testing.assert_allclose(value_of(scaled, 0.1), value_of(z, 0.1), rtol=1e-5)

    def test_order_of_images(self, rng, z):
        shuffled = z[rng.permutation(6)]
        np.testing.assert_allclose(value_of(shuffled, 0.1), value_of(z, 0.1), rtol=1e-6)

    def test_order_of_views(self, z):
        swapped = z[:, ::-1]
        np.testing.assert_allclose(value_of(swapped, 0.1), value_of(z, 0.1), rtol=1e-6)

    def test_gradient_has_no_part_along_the_row(self, z):
        _, gradient = compiled(z, 0.1)
        radial = np.sum(z * gradient, axis=-1)
        assert np.abs(radial).max() < 1e-6

    def test_twice_the_value_is_the_sum_of_the_two_directions(self, z):
        # What the paper's code prints: cross-entropy of [ab | aa] plus [ba | bb].
        u, _ = reference.unit_rows(np.asarray(z, np.float64))
        a, b = u[:, 0], u[:, 1]
        total = 0.0
        for x, y in ((a, b), (b, a)):
            logits = np.concatenate([x @ y.T, x @ x.T - 1e9 * np.eye(6)], axis=1) / 0.1
            top = logits.max(1, keepdims=True)
            lse = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
            total += np.mean(lse - logits[np.arange(6), np.arange(6)])
        np.testing.assert_allclose(2 * value_of(z, 0.1), total, rtol=1e-5)


def test_mutual_information_bound_is_below_log_of_the_candidates(rng):
    for scale in (0.0, 0.3, 3.0):
        x = rng.normal(size=(6, 1, 8))
        z = (x + scale * rng.normal(size=(6, 2, 8))).astype(np.float32)
        assert value_of(z, 0.1) >= 0


@both_forms
def test_temperature_has_a_gradient(rng, form):
    z = rng.normal(size=(5, 2, 8)).astype(np.float32)
    got = jax.jit(jax.grad(lambda t: nt_xent(z, temperature=t, form=form)))(0.2)
    ahead, _ = reference.nt_xent(z, 0.2 + 1e-6)
    behind, _ = reference.nt_xent(z, 0.2 - 1e-6)
    np.testing.assert_allclose(got, (ahead - behind) / 2e-6, rtol=1e-5)


def test_half_precision_projections_are_widened_first(rng):
    z = jnp.asarray(rng.normal(size=(4, 2, 16)), jnp.bfloat16)
    value = value_of(z, 0.1)
    assert value.dtype == jnp.float32
    expected, _ = reference.nt_xent(np.asarray(z, np.float64), 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@both_forms
def test_accuracy_is_the_share_of_nearest_positives(rng, form):
    x = rng.normal(size=(17, 1, 8))
    z = (x + 0.7 * rng.normal(size=(17, 2, 8))).astype(np.float32)
    value, accuracy = with_accuracy(z, temperature=0.1, form=form)
    expected = reference.nt_xent_accuracy(z)
    assert 0.1 < expected < 0.9
    np.testing.assert_allclose(accuracy, expected, rtol=1e-6)
    np.testing.assert_allclose(value, value_of(z, 0.1), rtol=1e-6)
    # Equal rows whose similarities need not round to the same number.
    z = np.broadcast_to(rng.normal(size=33), (40, 2, 33)).astype(np.float32)
    assert with_accuracy(z, temperature=0.005, form=form)[1] == 0


def test_refusals_name_the_value():
    with pytest.raises(AssertionError, match=r"\(4, 3, 8\)"):
        nt_xent(jnp.ones((4, 3, 8)), temperature=0.1)
    with pytest.raises(ValueError, match="temperature = 0"):
        nt_xent(jnp.ones((4, 2, 8)), temperature=0)
    with pytest.raises(ValueError, match="form = 'rings'"):
        nt_xent(jnp.ones((4, 2, 8)), temperature=1, form="rings")
