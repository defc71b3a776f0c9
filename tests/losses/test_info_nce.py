"""InfoNCE against a queue and within the batch: float64 loops, laws, devices."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses import contrastive
from jax_ssl.parallel.mesh import make_mesh, replicated, row_sharding
from tests.references import contrastive as reference


def info_nce(*args, **settings):
    return contrastive.info_nce(*args, **settings)[0]


def info_nce_in_batch(*args, **settings):
    return contrastive.info_nce_in_batch(*args, **settings)[0]


in_batch = jax.jit(info_nce_in_batch, static_argnames="form")
queue = jax.jit(info_nce, static_argnames="form")
both_forms = pytest.mark.parametrize("form", ["gather", "ring"])


def unit_rows(rng, *sizes):
    return [
        reference.unit_rows(rng.normal(size=(n, 8)))[0].astype(np.float32)
        for n in sizes
    ]


class TestQueue:
    @pytest.mark.parametrize("K", [1, 7, 64])
    def test_value_and_gradient_match_float64_loops(self, rng, K):
        q, k, negatives = unit_rows(rng, 5, 5, K)
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
        (q,) = unit_rows(rng, 4)
        negatives = -q
        value = queue(q, q, negatives, temperature=0.05)
        expected, _ = reference.info_nce(q, q, negatives, 0.05)
        assert expected < 1e-8
        np.testing.assert_allclose(value, expected, rtol=1e-5)

    def test_equal_scores_give_log_of_the_candidates(self):
        value = queue(
            jnp.ones((3, 4)), jnp.ones((3, 4)), jnp.ones((9, 4)), temperature=0.07
        )
        np.testing.assert_allclose(value, np.log(10), rtol=1e-6)

    def test_gradient_of_the_scores_sums_to_zero(self, rng):
        q, k, negatives = (rng.normal(size=(n, 8)) for n in (5, 5, 7))
        # A shift of all scores, here by adding to one feature, changes nothing.
        q[:, 0] = 1
        shift = np.eye(8)[0]
        before = queue(q, k, negatives, temperature=1.0)
        after = queue(q, k + shift, negatives + shift, temperature=1.0)
        np.testing.assert_allclose(before, after, rtol=1e-5)

    def test_accuracy_counts_clear_leads(self):
        q = jnp.eye(4)[:3]
        # The second key ties with a negative, the third is beaten by one.
        k = jnp.stack([q[0], q[1], 0.5 * q[2]])
        negatives = jnp.stack([0.9 * q[0], q[1], 0.6 * q[2]])
        _, accuracy = contrastive.info_nce(q, k, negatives, temperature=0.2)
        np.testing.assert_allclose(accuracy, 1 / 3, rtol=1e-6)

    def test_own_negatives_are_as_if_in_a_queue_of_the_row_alone(self, rng):
        q, k, negatives = unit_rows(rng, 4, 4, 9)
        own = np.stack(unit_rows(rng, 3, 3, 3, 3))
        own[0, 1] = 2 * q[0]  # Beats the key, which then has no lead.
        found = jax.jit(functools.partial(contrastive.info_nce, temperature=0.2))
        value, accuracy = found(q, k, negatives, own=own)
        rows = [
            found(q[b : b + 1], k[b : b + 1], np.concatenate([negatives, own[b]]))
            for b in range(4)
        ]
        np.testing.assert_allclose(value, np.mean([x for x, _ in rows]), rtol=1e-5)
        np.testing.assert_allclose(accuracy, np.mean([a for _, a in rows]))
        assert float(rows[0][1]) == 0

    def test_shapes_must_fit(self):
        with pytest.raises(AssertionError):
            info_nce(
                jnp.ones((3, 4)), jnp.ones((2, 4)), jnp.ones((9, 4)), temperature=1
            )

    @pytest.mark.parametrize(
        ("form", "sharded", "moves"),
        [
            ("gather", False, set()),
            ("gather", True, {"all-gather"}),
            ("ring", True, {"collective-permute"}),
        ],
    )
    def test_devices_agree_and_hold_tiles_only(self, rng, form, sharded, moves):
        B, K = 16, 4096
        q, k, negatives = unit_rows(rng, B, B, K)
        grad = jax.jit(
            jax.value_and_grad(
                lambda q, negatives: info_nce(
                    q, k, negatives, temperature=0.2, form=form
                )
            )
        )
        expected, expected_gradient = grad(q, negatives)
        mesh = make_mesh(fsdp=4)
        with jax.set_mesh(mesh):
            where = row_sharding(mesh)
            q = jax.device_put(q, where)
            negatives = jax.device_put(
                negatives, where if sharded else replicated(mesh)
            )
            value, gradient = grad(q, negatives)
            text = grad.lower(q, negatives).compile().as_text()
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)
        kinds = "all-gather|all-to-all|reduce-scatter|collective-permute"
        assert set(re.findall(rf" ({kinds})(?:-start)?\(", text)) == moves
        assert f"[{B // 8},{K}]" not in text
        assert f"[{B},{K}]" not in text

    def test_a_queue_that_cannot_be_shared_is_refused_or_gathered(self, rng):
        q, k, negatives = (jnp.asarray(a) for a in unit_rows(rng, 8, 8, 13))
        expected = queue(q, k, negatives, temperature=0.2)
        with jax.set_mesh(make_mesh()):
            value = queue(q, k, negatives, temperature=0.2)
            np.testing.assert_allclose(value, expected, rtol=1e-6)
            with pytest.raises(
                ValueError, match="8 devices cannot share a queue of 13"
            ):
                info_nce(q, k, negatives, temperature=0.2, form="ring")


class TestInBatch:
    @both_forms
    @pytest.mark.parametrize(("B", "devices"), [(1, 1), (2, 2), (5, 1), (24, 8)])
    def test_value_and_gradients_match_float64_loops(self, rng, B, devices, form):
        q, k = unit_rows(rng, B, B)
        grad = jax.jit(
            jax.value_and_grad(
                lambda q, k, t: info_nce_in_batch(q, k, temperature=t, form=form),
                (0, 1),
            )
        )
        mesh = make_mesh(devices=jax.devices()[:devices])
        for temperature in (0.2, 0.07):
            expected, both = reference.info_nce_in_batch(q, k, temperature)
            with jax.set_mesh(mesh):
                placed = jax.device_put((q, k), row_sharding(mesh))
                value, gradients = grad(*placed, temperature)
            np.testing.assert_allclose(value, expected, rtol=1e-5)
            for got, want in zip(gradients, both, strict=True):
                error = np.linalg.norm(got - want)
                assert error <= 1e-5 * np.linalg.norm(want)

    def test_is_a_cross_entropy_of_the_batch(self, rng):
        q, k = unit_rows(rng, 12, 12)
        log_shares = jax.nn.log_softmax(q @ k.T / 0.1)
        value = in_batch(q, k, temperature=0.1)
        np.testing.assert_allclose(value, -np.diag(log_shares).mean(), rtol=1e-5)

    def test_accuracy_counts_clear_leads(self):
        q = jnp.eye(4)
        k = q.at[1].set(0.5 * q[0]).at[2].set(q[3])
        for form in ("gather", "ring"):
            _, accuracy = contrastive.info_nce_in_batch(
                q, k, temperature=0.2, form=form
            )
            # Row 1 scores as low with all, and row 3 finds its key twice.
            assert float(accuracy) == 0.25

    def test_a_solved_task_keeps_its_digits(self):
        q = jnp.eye(8)
        value = in_batch(q, q, temperature=0.05)
        np.testing.assert_allclose(value, np.log1p(7 * np.exp(-20.0)), rtol=1e-5)

    def test_refusals_name_the_value(self):
        with pytest.raises(AssertionError):
            info_nce_in_batch(jnp.ones((3, 4)), jnp.ones((2, 4)), temperature=1)
        with pytest.raises(ValueError, match="form = 'dense'"):
            info_nce_in_batch(jnp.eye(3), jnp.eye(3), temperature=1, form="dense")
