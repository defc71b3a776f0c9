"""The losses of two players beside float64, and at chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.adversarial import deceiving_loss, discriminator_loss


def test_logistic_losses_are_logs_of_probabilities(rng):
    real, made = (rng.normal(size=(6, 1)).astype(np.float32) for _ in range(2))
    p, q = (1 / (1 + np.exp(-np.float64(s))) for s in (real, made))
    expected = -np.log(p).mean() - np.log(1 - q).mean()
    assert discriminator_loss(real, made) == pytest.approx(expected, rel=1e-6)
    assert deceiving_loss(made) == pytest.approx(-np.log(q).mean(), rel=1e-6)


def test_hinge_losses_sum_the_scores_of_a_row():
    """BigBiGAN (arXiv:1907.02544), section 2, equations of the losses."""
    real, made = jnp.array([[2.0, 0.5, -1.0]]), jnp.array([[-2.0, -0.5, 1.0]])
    assert discriminator_loss(real, made, "hinge") == 2 * (0 + 0.5 + 2)
    assert deceiving_loss(made, "hinge") == 1.5
    assert deceiving_loss(-real, "hinge") == 1.5


def test_chance():
    nothing = jnp.zeros((4, 1))
    chance = 2 * np.log(2)
    assert discriminator_loss(nothing, nothing) == pytest.approx(chance, rel=1e-6)
    assert deceiving_loss(nothing) == pytest.approx(np.log(2), rel=1e-6)
    assert discriminator_loss(nothing, nothing, "hinge") == 2


def test_who_is_found_out_still_learns():
    """The form with swapped labels has a slope of 1 where the other has none."""
    slope = jax.grad(lambda s: deceiving_loss(s))(jnp.full((1, 1), -20.0))
    assert slope[0, 0] == pytest.approx(-1, abs=1e-6)
