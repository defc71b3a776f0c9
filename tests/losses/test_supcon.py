"""The supervised contrastive loss against float64 loops, NT-Xent and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.contrastive import nt_xent_with_accuracy
from jax_ssl.losses.supcon import supervised_contrastive
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.references import contrastive as reference

FORMS, MEANS = ("gather", "ring"), ("outside", "inside")
all_ways = pytest.mark.parametrize(
    ("form", "mean"), [(form, mean) for form in FORMS for mean in MEANS]
)


def loss(z, labels, temperature, mean, form):
    return supervised_contrastive(
        z, labels, temperature=temperature, mean=mean, form=form
    )


# The temperature is traced: one compilation serves all temperatures of a shape.
compiled = jax.jit(
    jax.value_and_grad(loss, has_aux=True), static_argnames=("mean", "form")
)
plain = jax.jit(
    jax.value_and_grad(
        lambda z, t, form: nt_xent_with_accuracy(z, temperature=t, form=form),
        has_aux=True,
    ),
    static_argnames="form",
)

B, D = 12, 6
LABELS = {
    "some": np.array([3, 0, 3, 1, 0, 3, 7, 1, 3, 3, 0, 9], np.int32),
    "none shared": np.arange(B, dtype=np.int32)[::-1],
    "one": np.full(B, 4, np.int32),
}


@pytest.fixture
def z(rng):
    return rng.normal(size=(B, 2, D)).astype(np.float32)


@all_ways
@pytest.mark.parametrize("labels", LABELS)
def test_value_gradient_and_accuracy_are_float64s(z, labels, form, mean):
    labels = LABELS[labels]
    for temperature in (0.5, 0.05):
        (value, accuracy), gradient = compiled(
            z, labels, temperature, mean=mean, form=form
        )
        expected, slope = reference.supervised(z, labels, temperature, mean)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        error = np.linalg.norm(np.asarray(gradient, np.float64) - slope)
        # One class inside of the logarithm is a constant: all is rounding.
        assert error <= 1e-5 * max(np.linalg.norm(slope), 0.1)
        hits = reference.supervised_accuracy(z, labels)
        np.testing.assert_allclose(accuracy, hits, rtol=1e-6)


@pytest.mark.parametrize("mean", MEANS)
def test_reference_gradient_is_that_of_central_differences(rng, z, mean):
    z, labels = z.astype(np.float64), LABELS["some"]
    direction = rng.normal(size=z.shape)
    _, gradient = reference.supervised(z, labels, 0.3, mean)
    ahead, behind = (
        reference.supervised(z + sign * 1e-5 * direction, labels, 0.3, mean)[0]
        for sign in (1, -1)
    )
    slope = np.sum(gradient * direction)
    np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-7)


@all_ways
def test_without_shared_labels_it_is_nt_xent(z, form, mean):
    labels = LABELS["none shared"]
    for temperature in (0.5, 0.05):
        found = compiled(z, labels, temperature, mean=mean, form=form)
        expected = plain(z, temperature, form=form)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6),
            found,
            expected,
        )


@all_ways
def test_one_class_has_a_closed_form(z, form, mean):
    """Inside the logarithm it is a constant, and outside the spread of the scores."""
    temperature = 0.2
    (value, accuracy), gradient = compiled(
        z, LABELS["one"], temperature, mean=mean, form=form
    )
    assert accuracy == 1
    if mean == "inside":
        np.testing.assert_allclose(value, np.log(2 * B - 1), rtol=1e-6)
        assert not np.asarray(gradient).any()
        return
    rows = reference.unit_rows(z.astype(np.float64).reshape(2 * B, D))[0]
    scores = (rows @ rows.T / temperature)[~np.eye(2 * B, dtype=bool)]
    scores = scores.reshape(2 * B, -1)
    expected = np.log(np.exp(scores).sum(1)) - scores.mean(1)
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)


@all_ways
def test_equal_rows_give_log_of_the_candidates_and_no_gradient(rng, form, mean):
    z = np.broadcast_to(rng.normal(size=D), (B, 2, D)).astype(np.float32)
    (value, accuracy), gradient = compiled(z, LABELS["some"], 0.1, mean=mean, form=form)
    np.testing.assert_allclose(value, np.log(2 * B - 1), rtol=3e-6)
    assert np.abs(gradient).max() < 1e-5
    assert accuracy == 0  # No lead that rounding could not feign.


@all_ways
def test_points_of_classes_that_are_orthogonal(form, mean):
    """The best there is: |P| equal positives, and negatives at a right angle."""
    labels = np.repeat(np.arange(3, dtype=np.int32), 4)
    z = np.eye(D, dtype=np.float32)[labels][:, None].repeat(2, 1)
    for temperature in (0.5, 0.1):
        (value, accuracy), gradient = compiled(
            z, labels, temperature, mean=mean, form=form
        )
        expected = np.log(7 + 16 * np.exp(-1 / temperature))
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        assert accuracy == 1
        # Along the circle of its length every row is at rest.
        if temperature == 0.1:
            assert np.abs(gradient).max() < 1e-3


def test_the_mean_inside_is_never_larger(rng, z):
    for labels in LABELS.values():
        inside, outside = (
            compiled(z, labels, 0.2, mean=mean, form="gather")[0][0]
            for mean in ("inside", "outside")
        )
        assert inside <= outside + 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_eight_devices_give_the_same(rng, form):
    z = rng.normal(size=(32, 2, D)).astype(np.float32)
    labels = rng.integers(0, 5, 32).astype(np.int32)
    (value, accuracy), gradient = compiled(
        z, labels, 0.1, mean="outside", form="gather"
    )
    mesh = make_mesh()
    assert mesh.size == 8
    with jax.set_mesh(mesh):
        placed = jax.device_put((z, labels), row_sharding(mesh))
        step = compiled.lower(*placed, 0.1, mean="outside", form=form).compile()
        (found, hits), slope = step(*placed, 0.1)
    np.testing.assert_allclose(found, value, rtol=2e-6)
    np.testing.assert_allclose(hits, accuracy, rtol=1e-6)
    np.testing.assert_allclose(slope, gradient, rtol=1e-5, atol=1e-6)
    # The ring passes rows and labels on; the other form gathers both at once.
    assert ("all-gather(" in step.as_text()) == (form == "gather")
    assert ("collective-permute" in step.as_text()) == (form == "ring")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"mean": "between"}, "mean = 'between' must be one of 'outside', 'inside'"),
        ({"form": "dense"}, "form = 'dense' must be one of"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    z, labels = jnp.ones((2, 2, 3)), jnp.zeros(2, jnp.int32)
    with pytest.raises(ValueError, match=message):
        supervised_contrastive(z, labels, **{"temperature": 0.1, **settings})
    with pytest.raises(AssertionError):
        supervised_contrastive(z, labels[:1], temperature=0.1)
