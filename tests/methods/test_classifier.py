"""Laws of training with labels; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.heads import LinearHead
from jax_ssl.train.step import init, train_step
from tests.images import batch, labelled_image
from tests.leaves import assert_equal
from tests.methods.pairs import float64

B, K, D = 16, 3, 16
PLAIN = {"mixup": 0.0, "cutmix": 0.0, "label_smoothing": 0.1}
PROBE = {**PLAIN, "freeze_encoder": True, "batch_norm": True, "first_std": 0.01}


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.uniform(size=(B, 8, 8, 3)), jnp.float32),
        "label": jnp.asarray(rng.integers(0, K, B), jnp.int32),
    }


def made(views, **settings):
    encoder = ENCODERS["convnet"](widths=(8, D))
    method = METHODS["classifier"](
        encoder, labelled_image, **{"num_classes": K, "first_std": 0.3, **settings}
    )
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    return method, params, state


def value_of(method):
    loss = functools.partial(method.loss, key=jax.random.key(1), step=jnp.int32(0))
    return jax.jit(loss)


def cross_entropy(logits, labels, smoothing):
    """-Σ t log softmax(z), in float64, row by row."""
    total = 0.0
    for z, label in zip(float64(logits), np.asarray(labels), strict=True):
        target = np.full(K, smoothing / K)
        target[label] += 1 - smoothing
        total -= target @ (z - z.max() - np.log(np.exp(z - z.max()).sum()))
    return total / len(labels)


def test_loss_is_the_smoothed_cross_entropy(views):
    method, params, state = made(views, **PLAIN)
    value, (after, metrics) = value_of(method)(params, state, views)
    features, _ = method.encoder.apply(
        {"params": params["encoder"], **state.stats["encoder"]},
        views["image"],
        train=True,
        mutable=["batch_stats"],
    )
    weights = float64(params["head"]["dense"])
    logits = float64(features.pooled) @ weights["kernel"] + weights["bias"]
    expected = cross_entropy(logits, views["label"], 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    right = (logits.argmax(1) == views["label"]).mean()
    np.testing.assert_allclose(metrics["train_accuracy"], right)
    moved, old = (
        each.stats["encoder"]["batch_stats"]["norm0"]["mean"] for each in (after, state)
    )
    assert np.any(moved != old)


def test_first_loss_of_a_small_head_is_the_logarithm_of_the_classes(views):
    method, params, state = made(views, first_std=2e-5)
    value, _ = value_of(method)(params, state, views)
    np.testing.assert_allclose(value, np.log(K), rtol=1e-3)


def test_mixing_changes_images_and_targets(views):
    plain, mixed = (made(views, mixup=amount, cutmix=0.0) for amount in (0.0, 5.0))
    values = [value_of(m)(p, s, views)[0] for m, p, s in (plain, mixed)]
    assert abs(values[0] - values[1]) > 1e-3


def test_frozen_encoder_does_not_move_by_a_bit(views):
    encoder = ENCODERS["convnet"](widths=(8, D))
    method = METHODS["classifier"](encoder, labelled_image, num_classes=K, **PROBE)
    # Weight decay would move whatever the optimizer holds.
    tx = optax.adamw(0.1, weight_decay=0.5)
    first = jax.jit(functools.partial(init, method, tx))(jax.random.key(0), batch())
    step = jax.jit(functools.partial(train_step, method, tx))
    train = first
    for s in range(3):
        train, _ = step(train, batch(s))
    assert set(train.params) == {"head"}
    before, after = (
        method.exports["encoder"](each.params, each.state) for each in (first, train)
    )
    assert_equal(after, before)
    assert np.any(train.params["head"]["dense"]["kernel"] != 0)
    assert "scale" not in str(jax.tree.structure(train.params["head"]))
    moved, old = (
        each.state.stats["head"]["batch_stats"]["norm"]["mean"]
        for each in (train, first)
    )
    assert np.any(moved != old)


def test_probe_norms_features_with_their_own_moments(views):
    method, params, state = made(views, **{**PROBE, "first_std": 0.3})
    value, _ = value_of(method)(params, state, views)
    own = {"params": state.frozen["encoder"], **state.stats["encoder"]}
    x = float64(method.encoder.apply(own, views["image"], train=False).pooled)
    x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-6)
    weights = float64(params["head"]["dense"])
    logits = x @ weights["kernel"] + weights["bias"]
    expected = cross_entropy(logits, views["label"], 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("settings", [PLAIN, PROBE])
def test_encoder_is_replaced_whole_and_judged_with_its_head(views, settings):
    method, params, state = made(views, **settings)
    load, health = method.loads["encoder"], method.health
    other = jax.tree.map(lambda leaf: leaf + 1.0, load.take(params, state))
    head, stats = params["head"], state.stats["head"]
    params, state = load.fill(params, state, other)
    assert_equal(method.exports["encoder"](params, state), other)
    assert_equal(params["head"], head)
    assert_equal(state.stats["head"], stats)

    scores = health.project(params, state, views["image"])
    assert health.classes == K
    pooled = method.encoder.apply(other, views["image"], train=False).pooled
    own = {"params": head, **stats}
    expected = LinearHead(K, 2e-5, settings.get("batch_norm", False)).apply(
        own, pooled, train=False
    )
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mean_patch", [False, True])
def test_head_reads_class_tokens_of_the_last_blocks(views, mean_patch):
    vit = ENCODERS["vit"](dim=8, depth=3, num_heads=2, patch=4, image_size=8)
    settings = {**PROBE, "batch_norm": False, "first_std": 0.3}
    settings |= {"class_tokens": 2, "mean_patch": mean_patch}
    method = METHODS["classifier"](vit, labelled_image, num_classes=K, **settings)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    # Far from their first values, at which blocks change little.
    own = jax.tree.map(lambda leaf: 5 * leaf, state.frozen["encoder"])
    state = state._replace(frozen={"encoder": own})
    value, _ = value_of(method)(params, state, views)

    # With one final norm, the ViT with a block less says the token before the last.
    @jax.jit
    def seen(own):
        less = {name: leaf for name, leaf in own.items() if name != "block2"}
        before = vit.clone(depth=2).apply({"params": less}, views["image"], train=False)
        return before, vit.apply({"params": own}, views["image"], train=False)

    before, last = seen(own)
    read = [float64(before.pooled), float64(last.pooled)]
    if mean_patch:
        read.append(float64(last.grid).mean((1, 2)))
    weights = float64(params["head"]["dense"])
    assert weights["kernel"].shape == (len(read) * 8, K)
    logits = np.concatenate(read, axis=1) @ weights["kernel"] + weights["bias"]
    np.testing.assert_allclose(
        value, cross_entropy(logits, views["label"], 0.1), rtol=1e-5
    )
    # The encoder that it exports is the ViT's own.
    assert_equal(method.exports["encoder"](params, state)["params"], own)


def test_paths_are_dropped_in_training():
    vit = ENCODERS["vit"](
        dim=8, depth=2, num_heads=1, patch=4, image_size=8, drop_path=0.5
    )
    method = METHODS["classifier"](vit, labelled_image, num_classes=K, **PLAIN)
    tx = optax.sgd(0.1)
    first = jax.jit(functools.partial(init, method, tx))(jax.random.key(0), batch())
    train, metrics = jax.jit(functools.partial(train_step, method, tx))(first, batch())
    assert np.isfinite(metrics["loss"])
    assert int(train.step) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "num_classes = 1 must be at least 2"),
        ({"num_classes": 10, "label_smoothing": 1.0}, "label_smoothing = 1.0"),
        ({"num_classes": 10, "mixup": -0.1}, "mixup = -0.1"),
        ({"num_classes": 10, "class_tokens": 1}, "a ConvNet has no class tokens"),
        ({"num_classes": 10, "mean_patch": True}, "set class_tokens = 1"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["classifier"](ENCODERS["convnet"](), labelled_image, **settings)
