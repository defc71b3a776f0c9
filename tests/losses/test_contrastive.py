"""NT-Xent and InfoNCE against float64 loops, and the identities of the papers."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.contrastive import info_nce, nt_xent, nt_xent_with_accuracy
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.references import contrastive as reference

# The temperature is traced: one compilation serves all temperatures of a shape.
compiled = jax.jit(jax.value_and_grad(lambda z, t: nt_xent(z, temperature=t)))
value_of = jax.jit(lambda z, t: nt_xent(z, temperature=t))


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


def assert_agrees(z, temperature):
    tolerance = 1e-5 if temperature >= 0.05 else 1e-3
    z = np.asarray(z, np.float32)
    value, gradient = compiled(z, temperature)
    expected, expected_gradient = reference.nt_xent(z, temperature)
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=1e-36)
    error = np.linalg.norm(np.asarray(gradient, np.float64) - expected_gradient)
    assert error <= tolerance * np.linalg.norm(expected_gradient) + 1e-36


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 8), (17, 128)], ids=str)
def test_value_and_gradient_match_float64_loops(rng, kind, shape):
    B, D = shape
    z = KINDS[kind](rng, rng.normal(size=(B, 2, D)))
    for temperature in (0.5, 0.05, 0.005):
        assert_agrees(z, temperature)


@pytest.mark.parametrize("kind", ["plain", "identical positives", "huge"])
def test_a_larger_batch_matches_float64_loops(rng, kind):
    assert_agrees(KINDS[kind](rng, rng.normal(size=(64, 2, 128))), 0.05)


def test_reference_gradient_matches_central_differences(rng):
    z = rng.normal(size=(3, 2, 4))
    _, gradient = reference.nt_xent(z, 0.3)
    direction = rng.normal(size=z.shape)
    ahead, _ = reference.nt_xent(z + 1e-5 * direction, 0.3)
    behind, _ = reference.nt_xent(z - 1e-5 * direction, 0.3)
    slope = np.sum(gradient * direction)
    np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-8)


@pytest.mark.parametrize("B", [2, 17])
def test_equal_rows_give_log_of_the_candidates_and_no_gradient(B, rng):
    z = np.broadcast_to(rng.normal(size=8), (B, 2, 8)).astype(np.float32)
    for temperature in (1.0, 0.05, 0.005):
        value, gradient = compiled(z, temperature)
        np.testing.assert_allclose(value, np.log(2 * B - 1), rtol=1e-6)
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


@pytest.mark.parametrize("D", [1, 5])
def test_a_single_image_has_no_loss(rng, D):
    value, gradient = compiled(rng.normal(size=(1, 2, D)).astype(np.float32), 0.1)
    assert value == 0
    assert not np.asarray(gradient).any()


def test_in_one_dimension_only_signs_count(rng):
    z = rng.uniform(0.5, 2, size=(5, 2, 1)) * rng.choice([-1, 1], size=(5, 2, 1))
    value, gradient = compiled(z.astype(np.float32), 0.05)
    np.testing.assert_allclose(value, reference.nt_xent(z, 0.05)[0], rtol=1e-5)
    assert np.abs(gradient).max() < 1e-5  # No direction to move in: 0 but for rounding.


def test_rows_of_zeros_are_finite_and_similar_to_none(rng):
    z = rng.normal(size=(4, 2, 6)).astype(np.float32)
    z[1, 0] = 0
    value, gradient = compiled(z, 0.1)
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


def test_temperature_has_a_gradient(rng):
    z = rng.normal(size=(5, 2, 8)).astype(np.float32)
    got = jax.jit(jax.grad(lambda t: nt_xent(z, temperature=t)))(0.2)
    ahead, _ = reference.nt_xent(z, 0.2 + 1e-6)
    behind, _ = reference.nt_xent(z, 0.2 - 1e-6)
    np.testing.assert_allclose(got, (ahead - behind) / 2e-6, rtol=1e-5)


def test_half_precision_projections_are_widened_first(rng):
    z = jnp.asarray(rng.normal(size=(4, 2, 16)), jnp.bfloat16)
    value = value_of(z, 0.1)
    assert value.dtype == jnp.float32
    expected, _ = reference.nt_xent(np.asarray(z, np.float64), 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_accuracy_is_the_share_of_nearest_positives(rng):
    x = rng.normal(size=(17, 1, 8))
    z = (x + 0.7 * rng.normal(size=(17, 2, 8))).astype(np.float32)
    value, accuracy = nt_xent_with_accuracy(z, temperature=0.1)
    expected = reference.nt_xent_accuracy(z)
    assert 0.1 < expected < 0.9
    np.testing.assert_allclose(accuracy, expected, rtol=1e-6)
    np.testing.assert_allclose(value, value_of(z, 0.1), rtol=1e-6)
    _, collapsed = nt_xent_with_accuracy(np.ones((4, 2, 8)), temperature=0.1)
    assert collapsed == 0


def test_refusals_name_the_value():
    with pytest.raises(AssertionError, match=r"\(4, 3, 8\)"):
        nt_xent(jnp.ones((4, 3, 8)), temperature=0.1)
    with pytest.raises(ValueError, match="temperature = 0"):
        nt_xent(jnp.ones((4, 2, 8)), temperature=0)


class TestDevices:
    """The loss is a function of the global batch, and gathers nothing but z."""

    B, D = 32, 16

    @pytest.fixture
    def z(self, rng):
        return rng.normal(size=(self.B, 2, self.D)).astype(np.float32)

    @pytest.mark.parametrize(("devices", "fsdp"), [(1, 1), (2, 1), (4, 2), (8, 1)])
    def test_value_and_gradient_do_not_depend_on_their_number(self, z, devices, fsdp):
        expected, expected_gradient = compiled(z, 0.1)
        mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
        with jax.set_mesh(mesh):
            z = jax.device_put(z, row_sharding(mesh))
            value, gradient = compiled(z, 0.1)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize("accuracy", [False, True])
    def test_a_device_holds_its_rows_against_all(self, z, accuracy):
        def loss(z):
            if accuracy:
                return nt_xent_with_accuracy(z, temperature=0.1)
            return nt_xent(z, temperature=0.1), None

        mesh = make_mesh()
        with jax.set_mesh(mesh):
            z = jax.device_put(z, row_sharding(mesh))
            step = jax.jit(jax.value_and_grad(loss, has_aux=True))
            text = step.lower(z).compile().as_text()
        b = 2 * self.B // 8
        assert f"f32[{b},{2 * self.B}]" in text
        shapes = [
            [int(n) for n in dims.split(",")]
            for dims in re.findall(r"\b\w+\[([\d,]+)\]", text)
        ]
        assert max(np.prod(shape) for shape in shapes) == max(
            b * 2 * self.B, 2 * self.B * self.D
        )
        assert all(sum(n >= self.B for n in shape) < 2 for shape in shapes)
        # One gather, of z; the accuracy shares it.
        gathers = re.findall(r"= (\S+) all-gather(?:-start)?\(", text)
        assert len(gathers) == 1
        assert f"f32[{self.B},2,{self.D}]" in gathers[0]


class TestInfoNCE:
    @pytest.mark.parametrize("K", [1, 7, 64])
    def test_value_and_gradient_match_float64_loops(self, rng, K):
        q, k, negatives = (
            reference.unit_rows(rng.normal(size=(n, 8)))[0].astype(np.float32)
            for n in (5, 5, K)
        )
        grad = jax.jit(
            jax.value_and_grad(lambda q, t: info_nce(q, k, negatives, temperature=t))
        )
        for temperature in (0.2, 0.07):
            value, gradient = grad(q, temperature)
            expected, expected_gradient = reference.info_nce(
                q, k, negatives, temperature
            )
            np.testing.assert_allclose(value, expected, rtol=1e-5)
            error = np.linalg.norm(gradient - expected_gradient)
            assert error < 1e-5 * np.linalg.norm(expected_gradient)

    def test_a_solved_task_keeps_its_digits(self, rng):
        q = reference.unit_rows(rng.normal(size=(4, 8)))[0].astype(np.float32)
        negatives = -q
        value = info_nce(q, q, negatives, temperature=0.05)
        expected, _ = reference.info_nce(q, q, negatives, 0.05)
        assert expected < 1e-8
        np.testing.assert_allclose(value, expected, rtol=1e-5)

    def test_equal_scores_give_log_of_the_candidates(self):
        value = info_nce(
            jnp.ones((3, 4)), jnp.ones((3, 4)), jnp.ones((9, 4)), temperature=0.07
        )
        np.testing.assert_allclose(value, np.log(10), rtol=1e-6)

    def test_gradient_of_the_scores_sums_to_zero(self, rng):
        q, k, negatives = (rng.normal(size=(n, 8)) for n in (5, 5, 7))
        # A shift of all scores, here by adding to one feature, changes nothing.
        q[:, 0] = 1
        shift = np.eye(8)[0]
        before = info_nce(q, k, negatives, temperature=1.0)
        after = info_nce(q, k + shift, negatives + shift, temperature=1.0)
        np.testing.assert_allclose(before, after, rtol=1e-5)

    def test_shapes_must_fit(self):
        with pytest.raises(AssertionError):
            info_nce(
                jnp.ones((3, 4)), jnp.ones((2, 4)), jnp.ones((9, 4)), temperature=1
            )
