"""The triplet loss: float64 loops over triplets, closed forms, devices."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.triplet import triplet
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.references import triplet as reference

both_minings = pytest.mark.parametrize("mining", ["all", "semi-hard"])


@functools.cache
def grad(margin, mining):
    loss = functools.partial(triplet, margin=margin, mining=mining)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def close_views(rng, B, D, noise):
    z = rng.normal(size=(B, 1, D)) + noise * rng.normal(size=(B, 2, D))
    return z.astype(np.float32)


@both_minings
@pytest.mark.parametrize("margin", [0.01, 0.2, 1.0])
@pytest.mark.parametrize(("B", "D", "noise"), [(2, 3, 0.1), (9, 5, 0.5), (16, 24, 0.8)])
def test_value_and_gradient_match_float64_loops(rng, mining, margin, B, D, noise):
    z = close_views(rng, B, D, noise)
    (value, terms), gradient = grad(margin, mining)(z)
    expected, wanted, active = reference.triplet(z, margin, mining)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(terms["active_fraction"], active, rtol=1e-5)
    error = np.linalg.norm(gradient - wanted)
    assert error <= 1e-5 * np.linalg.norm(wanted) + 1e-8


@both_minings
def test_reference_gradient_is_that_of_central_differences(rng, mining):
    z, direction = rng.normal(size=(2, 5, 2, 4))
    ahead, behind = (
        reference.triplet(z + h * direction, 0.5, mining)[0] for h in (1e-6, -1e-6)
    )
    slope = np.sum(reference.triplet(z, 0.5, mining)[1] * direction)
    np.testing.assert_allclose((ahead - behind) / 2e-6, slope, rtol=1e-6)


@both_minings
@pytest.mark.parametrize("margin", [0.01, 0.2, 1.0])
def test_collapse_costs_the_margin(mining, margin):
    (value, terms), _ = grad(margin, mining)(jnp.ones((6, 2, 4)))
    np.testing.assert_allclose(value, margin, rtol=1e-6)
    assert float(terms["active_fraction"]) == 1
    assert float(terms["contrastive_accuracy"]) == 0


@both_minings
def test_nothing_pulls_once_the_margin_is_met(mining):
    # Positives agree, images are at a right angle: distances 0 and 2.
    z = jnp.broadcast_to(jnp.eye(4)[:, None], (4, 2, 4))
    (value, terms), gradient = grad(0.2, mining)(z)
    assert float(value) == 0
    assert not np.any(gradient)
    assert float(terms["active_fraction"]) == 0
    assert float(terms["contrastive_accuracy"]) == 1
    (value, _), _ = grad(3.0, mining)(z)
    np.testing.assert_allclose(value, 1.0, rtol=1e-6)


@both_minings
def test_ignores_lengths_order_of_images_and_views(rng, mining):
    z = close_views(rng, 8, 5, 0.5)
    loss = grad(0.4, mining)
    expected = loss(z)[0][0]
    lengths = rng.uniform(0.1, 10, (8, 2, 1)).astype(np.float32)
    for other in (lengths * z, z[rng.permutation(8)], z[:, ::-1]):
        np.testing.assert_allclose(loss(other)[0][0], expected, rtol=1e-5)


@both_minings
def test_devices_agree_and_hold_their_share_of_the_square(rng, mining):
    B, D = 64, 12
    z = close_views(rng, B, D, 0.7)
    loss = grad(0.4, mining)
    expected = loss(z)
    mesh = make_mesh(fsdp=2)
    with jax.set_mesh(mesh):
        placed = jax.device_put(z, row_sharding(mesh))
        found = loss(placed)
        text = loss.lower(placed).compile().as_text()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        found,
        expected,
    )
    assert f"[{2 * B // 8},{2 * B}]" in text
    assert f"[{2 * B},{2 * B}]" not in text
    gathers = re.findall(r"= \(?(\w+\[[\d,]*\]).* all-gather(?:-start)?\(", text)
    assert gathers == [f"f32[{B},2,{D}]"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": 0.0}, "margin = 0.0 must be positive"),
        ({"margin": 0.2, "mining": "hard"}, "mining = 'hard' must be one of 'all'"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        triplet(jnp.ones((4, 2, 3)), **settings)


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="2 rows or more"):
        triplet(jnp.ones((1, 2, 3)), margin=0.2)
