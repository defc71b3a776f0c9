"""DeepCluster's own laws; the battery is in `tests/test_contract.py`."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.types import Features
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.ops.partitions import mutual_information
from jax_ssl.ops.stencils import sobel
from tests.images import one_view
from tests.leaves import assert_close, assert_equal
from tests.methods.pairs import WIDTHS, float64
from tests.references import clustering as reference

N, K, D = 40, 4, 6
KEY = jax.random.key(1)
STEP = jnp.int32(0)


class Identity(nn.Module):
    """An encoder whose features are the pixels, and which has no parameters."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        return Features(x.reshape(len(x), -1), x)


def made(encoder=None, rows=N, **settings):
    """(method, params, state, views of every image once)."""
    rng = np.random.default_rng(5)
    views = {
        "image": jnp.asarray(rng.uniform(size=(rows, 8, 8, 3)), jnp.float32),
        "index": jnp.asarray(rng.permutation(N)[:rows], jnp.int32),
    }
    settings = {
        "num_clusters": K,
        "hidden_dims": (12, D),
        "components": 4,
        "iterations": 30,
        **settings,
    }
    encoder = encoder or ENCODERS["convnet"](widths=WIDTHS)
    method = METHODS["deepcluster"](encoder, one_view, N, **settings)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    return method, params, state, views


@pytest.fixture(scope="module")
def refreshed():
    """The same after a clustering of the images in data-set order, and its metrics."""
    method, params, state, views = made(dropout=0.0)
    order = jnp.argsort(views["index"])
    batch = {"view": views["image"][order]}

    def stage(params, state):
        features = method.refresh.embed(params, state, batch)
        # Rows beyond the data set must not be looked at.
        padded = jnp.concatenate([features, jnp.full((24, D), 7.0)])
        return features, method.refresh.fit(params, state, padded, KEY)

    features, (fresh, after, metrics) = jax.jit(stage)(params, state)
    return method, (params, state), (fresh, after), features, views, metrics


def test_new_labels_are_a_fixed_point_on_white_unit_features(refreshed):
    _, _, (_, after), features, _, metrics = refreshed
    x = float64(features) - float64(features).mean(0)
    values, vectors = np.linalg.eigh(x.T @ x / N)
    white = x @ vectors[:, ::-1][:, :4] / np.sqrt(values[::-1][:4])
    np.testing.assert_allclose(white.T @ white / N, np.eye(4), atol=1e-8)
    unit = white / np.linalg.norm(white, axis=1, keepdims=True)
    labels = np.asarray(after.labels)
    centers = np.stack([unit[labels == k].mean(0) for k in range(K)])
    again, _ = reference.lloyd(unit, centers, 1)
    np.testing.assert_array_equal(again, labels)
    np.testing.assert_array_equal(after.sizes, np.bincount(labels, minlength=K))
    assert metrics["largest_cluster"] == pytest.approx(max(after.sizes) / N)
    assert metrics["empty_clusters"] == 0
    entropy = reference.entropy(labels)
    assert metrics["prototype_entropy"] == pytest.approx(entropy, rel=1e-5)


def test_nothing_but_the_classifier_starts_afresh(refreshed):
    method, (params, state), (fresh, after), _, _, _ = refreshed
    assert method.refresh.resets == ("classifier",)
    for part in ("encoder", "projector"):
        assert_equal(fresh[part], params[part])
    assert_equal(after.stats, state.stats)
    kernel = np.asarray(fresh["classifier"]["dense"]["kernel"])
    assert np.all(kernel != params["classifier"]["dense"]["kernel"])
    assert 0.005 < kernel.std() < 0.015
    assert not np.any(fresh["classifier"]["dense"]["bias"])
    assert method.health.chance(32) == pytest.approx(np.log(K))


def test_the_shared_information_is_with_the_labels_before(refreshed):
    _, (_, state), (_, after), _, _, metrics = refreshed
    expected = reference.mutual_information(
        np.asarray(after.labels), np.asarray(state.labels)
    )
    np.testing.assert_allclose(after.shared, expected, rtol=1e-4)
    assert metrics["mutual_information"] == after.shared


def test_loss_is_that_of_images_drawn_uniformly_over_clusters(refreshed):
    method, _, (params, state), _, views, _ = refreshed
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    value, (_, metrics) = loss(params, state, views)
    # Train mode, dropout 0: the network alone, then the equations.
    features = train_features(method, params, state, views)
    layer = float64(params["classifier"]["dense"])
    logits = np.maximum(features, 0) @ layer["kernel"] + layer["bias"]
    labels = np.asarray(state.labels)[np.asarray(views["index"])]
    losses = reference.cross_entropies(logits, labels)
    # Every image once: a mean over clusters of the means within them.
    expected = np.mean([losses[labels == k].mean() for k in set(labels)])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # A classifier that has just started tells nothing apart.
    np.testing.assert_allclose(value, np.log(K), rtol=0.02)
    hits = np.mean(logits.argmax(1) == labels)
    assert metrics["assignment_accuracy"] == pytest.approx(hits)


def train_features(method, params, state, views):
    """Inputs of the classifier, but for a last ReLU."""
    variables = {"params": params["encoder"], **state.stats["encoder"]}
    pooled, _ = method.encoder.apply(
        variables, views["image"], train=True, mutable=["batch_stats"]
    )
    x = float64(pooled.pooled)
    for i, layer in enumerate(("dense0", "dense1")):
        weights = float64(params["projector"][layer])
        x = (np.maximum(x, 0) if i else x) @ weights["kernel"] + weights["bias"]
    return x


def test_empty_clusters_do_not_count(refreshed):
    method, _, (params, state), _, views, _ = refreshed
    two = state._replace(
        labels=state.labels % 2, sizes=jnp.bincount(state.labels % 2, length=K)
    )
    flat = jax.tree.map(jnp.zeros_like, params["classifier"])
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    value, _ = loss({**params, "classifier": flat}, two, views)
    # Weights of mean 1 over the data set, whatever is empty.
    np.testing.assert_allclose(value, np.log(K), rtol=1e-5)


def test_other_names_of_clusters_need_another_classifier_and_no_more(refreshed):
    method, _, (params, state), _, views, _ = refreshed
    names = jnp.asarray([2, 0, 3, 1])
    renamed = state._replace(
        labels=names[state.labels], sizes=state.sizes[jnp.argsort(names)]
    )
    classifier = jax.tree.map(
        lambda leaf: leaf[..., jnp.argsort(names)], params["classifier"]
    )
    grad = jax.value_and_grad(method.loss, has_aux=True)
    grad = jax.jit(functools.partial(grad, key=KEY, step=STEP))
    (value, _), slopes = grad(params, state, views)
    (same, _), slopes_too = grad({**params, "classifier": classifier}, renamed, views)
    np.testing.assert_allclose(same, value, rtol=1e-6)
    for part in ("encoder", "projector"):
        assert_close(slopes_too[part], slopes[part], rtol=1e-4, atol=1e-7)
    assert mutual_information(renamed.labels, state.labels) == pytest.approx(1)


def test_four_blobs_are_found_through_an_identity_encoder(rng):
    truth = rng.permutation(np.arange(N) % K)
    images = 0.05 * rng.normal(size=(N, 2, 2, 2)) + np.eye(K, 8)[truth].reshape(
        N, 2, 2, 2
    )
    images = jnp.asarray(images, jnp.float32)
    settings = {"num_clusters": K, "components": 3, "sobel": False, "hidden_dims": ()}
    method = METHODS["deepcluster"](Identity(), one_view, N, **settings)
    views = {"image": images, "index": jnp.arange(N)}
    params, state = method.init(KEY, views)

    @jax.jit
    def labels(key):
        features = method.refresh.embed(params, state, {"view": images})
        return method.refresh.fit(params, state, features, key)[1].labels

    # Lloyd's iterations depend on where they start; most starts find the blobs.
    shared = [mutual_information(labels(jax.random.key(i)), truth) for i in range(4)]
    assert max(shared) == pytest.approx(1, abs=1e-6)


def test_the_encoder_sees_the_gradients_of_a_grey_image():
    method, params, state, views = made()
    kernel = params["encoder"]["encoder"]["conv0"]["kernel"]
    assert kernel.shape[2] == 2
    variables = method.exports["encoder"](params, state)
    found = method.encoder.apply(variables, views["image"], train=False).pooled
    inner = {name: tree["encoder"] for name, tree in variables.items()}
    plain = ENCODERS["convnet"](widths=WIDTHS)
    expected = plain.apply(inner, sobel(views["image"]), train=False).pooled
    np.testing.assert_array_equal(found, expected)
    # Colours do not matter to it.
    swapped = method.encoder.apply(variables, views["image"][..., ::-1], train=False)
    np.testing.assert_allclose(swapped.pooled, found, rtol=1e-4, atol=1e-5)


def test_what_is_clustered_is_drawn_without_dropout():
    method, params, state, views = made(dropout=0.9, hidden_dims=(12, D))
    one, two = (method.health.project(params, state, views["image"]) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert np.any(np.asarray(one) < 0)  # Before the last ReLU.
    assert one.shape == (N, D)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_clusters": 1}, "num_clusters = 1 must be at least 2"),
        ({"num_clusters": 41}, "num_clusters = 41 must be at most num_examples = 40"),
        ({"components": 0}, "components = 0"),
        ({"dropout": 1.0}, r"dropout = 1.0 must be in \[0, 1\)"),
        ({"every_epochs": 0}, "every_epochs = 0"),
    ],
)
def test_settings_are_refused(settings, message):
    settings = {"num_clusters": K, **settings}
    with pytest.raises(ValueError, match=message):
        METHODS["deepcluster"](ENCODERS["convnet"](), one_view, N, **settings)


def test_a_recipe_without_the_rows_is_refused():
    method, _, _, views = made()
    with pytest.raises(ValueError, match=r"reads \{'image', 'index'\}.*'deepcluster'"):
        method.init(KEY, views["image"])
