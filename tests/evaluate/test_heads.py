"""Heads trained side by side against one trajectory by hand, and laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.evaluate import heads as module
from jax_ssl.evaluate.heads import Heads, fit_heads, score
from jax_ssl.evaluate.part import part_of
from jax_ssl.parallel.mesh import make_mesh
from tests.references import linear as reference

RATES = np.float32([0.01, 0.1, 0.5, 0.01, 0.1, 0.5, 2.0, 2.0])
DECAYS = np.float32([0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.0, 0.1])


@functools.cache
def data():
    """60 rows of 5 features in 4 classes, one feature constant."""
    rng = np.random.default_rng(5)
    labels = (np.arange(60) % 4).astype(np.int32)
    features = rng.normal(size=(60, 5)) + rng.normal(size=(4, 5))[labels]
    features[:, 3] = 0.25
    return features.astype(np.float32), labels


def padded(labels):
    """As many labels as a part has places on eight devices."""
    return np.pad(labels, (0, 4), constant_values=-1)


def fit(rates=RATES, decays=DECAYS, rows=None, **kwargs):
    features, labels = data()
    settings = {"epochs": 5, "batch_size": 16, "scaling": "standardize", **kwargs}
    return fit_heads(
        part_of(features),
        padded(labels),
        np.arange(60) if rows is None else rows,
        np.float32(rates),
        np.float32(decays),
        key=jax.random.key(0),
        num_classes=4,
        **settings,
    )


@pytest.mark.parametrize("scaling", ["standardize", "none"])
def test_every_head_follows_nesterov_with_a_cosine(scaling):
    features, labels = data()
    # With one batch the order of rows does not matter.
    heads, losses = fit(epochs=12, batch_size=1000, scaling=scaling)
    x = reference.standardize(features) if scaling == "standardize" else features
    assert losses.shape == (12, 8)
    for i, (rate, decay) in enumerate(zip(RATES, DECAYS, strict=True)):
        (kernel, bias), expected = reference.full_batch_sgd(
            x, labels, 4, rate, decay, 12
        )
        np.testing.assert_allclose(heads.weights[0][i], kernel, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(heads.weights[1][i], bias, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(losses[:, i], expected, rtol=1e-4)


def test_the_first_loss_is_the_logarithm_of_the_classes():
    _, losses = fit()
    np.testing.assert_allclose(losses[0], np.log(4), rtol=1e-6)


def test_heads_side_by_side_are_heads_alone():
    together, losses = fit()
    for i in range(len(RATES)):
        alone, alone_losses = fit(RATES[[i]], DECAYS[[i]])
        np.testing.assert_allclose(
            alone.weights[0][0], together.weights[0][i], atol=2e-6
        )
        np.testing.assert_allclose(alone_losses[:, 0], losses[:, i], rtol=1e-5)


def test_rows_outside_the_part_have_no_influence():
    features, labels = data()
    rows = np.arange(0, 60, 2)
    part, _ = fit(rows=rows, batch_size=10)
    moved = features.copy()
    moved[1::2] = 1e3
    again, _ = fit_heads(
        part_of(moved),
        padded(labels),
        rows,
        RATES,
        DECAYS,
        key=jax.random.key(0),
        num_classes=4,
        epochs=5,
        batch_size=10,
        scaling="standardize",
    )
    jax.tree.map(np.testing.assert_array_equal, again, part)


def test_a_feature_that_does_not_vary_is_dropped():
    heads, _ = fit()
    assert heads.scale[3] == 0
    np.testing.assert_array_equal(heads.weights[0][:, 3], 0)
    features, _ = data()
    np.testing.assert_allclose(
        (features - heads.shift) * heads.scale,
        reference.standardize(features),
        atol=1e-5,
    )


def test_a_mesh_splits_the_heads_and_changes_nothing():
    alone, losses = fit()
    with jax.set_mesh(make_mesh(fsdp=2)):
        split, split_losses = fit()
    kernel = split.weights[0]
    assert kernel.sharding.num_devices == 8
    assert kernel.sharding.shard_shape(kernel.shape) == (1, 5, 4)
    np.testing.assert_allclose(kernel, alone.weights[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(split_losses, losses, rtol=1e-5)


def test_scores_are_means_over_the_rows(rng, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 8)
    features = rng.normal(size=(30, 5)).astype(np.float32)
    labels = rng.integers(0, 7, 30).astype(np.int32)
    kernel = rng.normal(size=(3, 5, 7)).astype(np.float32)
    bias = rng.normal(size=(3, 7)).astype(np.float32)
    rows = np.arange(1, 28)
    heads = Heads((kernel, bias), jnp.full(5, 0.1), jnp.full(5, 2.0))
    found = score(heads, part_of(features), labels, rows)
    x = (features[rows].astype(np.float64) - 0.1) * 2
    for i in range(3):
        loss, _, _ = reference.cross_entropy(x, labels[rows], kernel[i], bias[i])
        order = np.argsort(-(x @ kernel[i] + bias[i]), axis=1)
        right = order == labels[rows][:, None]
        assert found["loss"][i] == pytest.approx(loss, rel=1e-5)
        assert found["accuracy"][i] == pytest.approx(right[:, 0].mean())
        assert found["top5"][i] == pytest.approx(right[:, :5].any(1).mean())


def test_a_head_that_diverged_scores_nothing():
    features, labels = data()
    kernel = jnp.stack([jnp.zeros((5, 4)), jnp.full((5, 4), jnp.nan)])
    heads = Heads((kernel, jnp.zeros((2, 4))), jnp.zeros(5), jnp.ones(5))
    found = score(heads, part_of(features), labels, np.arange(60))
    np.testing.assert_array_equal(found["accuracy"], [0.25, 0])
    assert found["loss"][1] == np.inf
