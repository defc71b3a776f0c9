"""Laws of training with masks; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.core.fields import Field
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.methods.segmenter import covering
from tests.case import Case
from tests.images import one_image
from tests.leaves import assert_equal

K = 3
KEY = jax.random.key(1)
UNET = {"name": "unet", "widths": (4, 4), "padding": "same", "norm": "batch"}
VALID = {"name": "unet", "widths": (4, 4)}


def masked_image(key, example):
    """A noisy view, and of each pixel the brightest channel, in one place none.

    Of half the test images' size: a ReLU that rounding turns over counts in one pixel.
    """
    image = example["image"][::2, ::2]
    mask = image.argmax(-1).astype(jnp.uint8).at[0, 1].set(255)
    borders = image[..., 0].astype(jnp.float32) / 10
    return {
        "image": one_image(key, example)[::2, ::2],
        "mask": mask,
        "borders": borders,
    }


CASES = {
    "segmenter": Case(
        "segmenter",
        {"num_classes": K, "class_weights": (1.0, 2.0, 0.5), "border_weight": 2.0},
        masked_image,
        encoder={**UNET, "dropout": 0.1},
        learning_rate=0.02,
    ),
    "segmenter-valid": Case(
        "segmenter",
        {"num_classes": K},
        masked_image,
        encoder={**VALID, "dropout": 0.1},
        learning_rate=0.1,
        share=0.9,
        # Of the mirrored images the contracting path alone would leave too little.
        reads=lambda x: jnp.pad(x, ((0, 0), (6, 6), (6, 6), (0, 0)), "reflect"),
    ),
    "segmenter-frozen": Case(
        "segmenter",
        {"num_classes": K, "freeze_encoder": True, "decoder_widths": (4,)},
        masked_image,
        encoder={"name": "convnet", "widths": (6, 8)},
        learning_rate=0.05,
        share=0.9,
    ),
}


def views_of(rng, sides=(8, 8), margin=0):
    height, width = sides
    shape = (2, height + 2 * margin, width + 2 * margin, 3)
    mask = rng.integers(0, K, (2, *sides)).astype(np.uint8)
    mask[:, 0] = 255
    return {
        "image": jnp.asarray(rng.normal(size=shape), jnp.float32),
        "mask": jnp.asarray(mask),
        "borders": jnp.asarray(rng.uniform(0, 9, mask.shape), jnp.float32),
    }


def made(views, encoder, **settings):
    own = dict(encoder)
    encoder = ENCODERS[own.pop("name")](**own)
    settings = {"num_classes": K, **settings}
    method = METHODS["segmenter"](encoder, masked_image, **settings)
    params, state = jax.jit(method.init)(KEY, views)
    return method, params, state


def test_loss_is_the_weighted_float64_cross_entropy_of_what_is_predicted(rng):
    views = views_of(rng)
    table = (0.5, 1.0, 3.0)
    encoder = {"name": "unet", "widths": (3, 4), "padding": "same"}
    method, params, state = made(
        views, encoder, class_weights=table, border_weight=10.0, border_sigma=2.0
    )
    loss = functools.partial(method.loss, key=KEY, step=jnp.int32(0))
    value, (_, metrics) = jax.jit(loss)(params, state, views)
    # Without norm and dropout training and evaluation say the same.
    scores = jax.jit(method.predicts["segmentation"])(params, state, views)
    total, right, number = 0.0, 0, 0
    mask = np.asarray(views["mask"])
    for place in np.ndindex(mask.shape):
        if mask[place] != 255:
            z = np.float64(scores[place])
            log = z - z.max() - np.log(np.exp(z - z.max()).sum())
            near = np.exp(-(float(views["borders"][place]) ** 2) / (2 * 2.0**2))
            total -= (table[mask[place]] + 10 * near) * log[mask[place]]
            right += z.argmax() == mask[place]
            number += 1
    assert float(value) == pytest.approx(total / number, rel=1e-5)
    assert float(metrics["pixel_accuracy"]) == pytest.approx(right / number)


def test_prediction_covers_the_image_by_mirroring_and_tiles_join_seamlessly(rng):
    """The overlap-tile strategy: a tile and what is around it is part of the whole."""
    views = views_of(rng, (20, 25))
    method, params, state = made(views, VALID)
    predict = jax.jit(method.predicts["segmentation"])
    whole = predict(params, state, {"image": views["image"]})
    assert whole.shape == (2, 20, 25, K)
    margin = method.encoder.margin
    assert margin == 8
    padded = np.pad(views["image"], ((0, 0), (8, 14), (8, 14), (0, 0)), "reflect")
    for top, left in ((0, 0), (4, 10)):  # Even, for the pools.
        tile = {
            "image": padded[:, top : top + 28, left : left + 28],
            "mask": np.zeros((2, 12, 12), np.uint8),
        }
        found = predict(params, state, tile)
        expected = whole[:, top : top + 12, left : left + 12]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    examples = {"view": tile["image"], "seen": tile}
    kinds = []

    @jax.jit
    def shown():
        (pictures,) = method.shows(params, state, examples, KEY).values()
        kinds.extend(kind for kind, _ in pictures.columns.values())
        return {name: values for name, (_, values) in pictures.columns.items()}

    pictures = shown()
    assert kinds == ["view", "mask", "mask"]
    np.testing.assert_array_equal(pictures["image"], tile["image"][:, 8:20, 8:20])
    np.testing.assert_array_equal(pictures["truth"], tile["mask"])
    np.testing.assert_array_equal(pictures["prediction"], found.argmax(-1))


def test_images_are_mirrored_where_the_network_wants_more():
    unet = ENCODERS["unet"](widths=(1, 1, 1), padding="same")
    image = jnp.arange(6.0 * 7).reshape(1, 6, 7, 1)
    found = covering(unet, image, (6, 7))
    expected = np.pad(image, ((0, 0), (0, 2), (0, 1), (0, 0)), "reflect")
    np.testing.assert_array_equal(found, expected)
    valid = ENCODERS["unet"](widths=(1, 1))  # A margin of 8.
    wide = jnp.arange(12.0 * 12).reshape(1, 12, 12, 1)
    found = covering(valid, wide, (6, 6))  # Of which three are there.
    expected = np.pad(wide, ((0, 0), (5, 5), (5, 5), (0, 0)), "reflect")
    np.testing.assert_array_equal(found, expected)
    plain = ENCODERS["convnet"](widths=(1, 1))
    with pytest.raises(ValueError, match=r"12 x 12 pixels around masks of 6 x 6.* 0"):
        covering(plain, wide, (6, 6))


def test_scores_of_a_coarse_encoder_are_interpolated(rng):
    views = views_of(rng, (32, 48))
    method = METHODS["segmenter"](
        ENCODERS["resnet18"](stage_sizes=(1, 1)), masked_image, num_classes=K
    )
    params, state = jax.eval_shape(method.init, KEY, views)
    found = jax.eval_shape(method.predicts["segmentation"], params, state, views)
    assert found.shape == (2, 32, 48, K)
    odd = views_of(rng, (31, 48))
    with pytest.raises(ValueError, match=r"16 x 24 scores of images of 31 x 48"):
        jax.eval_shape(method.predicts["segmentation"], params, state, odd)


def test_frozen_encoder_is_no_part_of_the_params_and_runs_in_evaluation_mode(rng):
    views = views_of(rng, (4, 4))
    encoder = {"name": "convnet", "widths": (4, 6)}
    method, params, state = made(views, encoder, freeze_encoder=True)
    assert set(params) == {"decoder"}
    loss = functools.partial(method.loss, key=KEY, step=jnp.int32(0))
    _, (after, _) = jax.jit(loss)(params, state, views)
    export = method.exports["encoder"]
    assert_equal(export(params, after), export(params, state))
    moved, old = (each.stats["decoder"]["batch_stats"] for each in (after, state))
    assert np.any(moved["level0"]["norm0"]["mean"] != old["level0"]["norm0"]["mean"])
    whole = method.exports["segmenter"](params, state)
    assert set(whole["params"]) == {"encoder", "decoder"}


def test_classes_are_counted_by_the_names_of_the_mask():
    encoder = ENCODERS["unet"](widths=(2, 2))
    build = functools.partial(METHODS["segmenter"], encoder, masked_image, None)
    fields = {"mask": Field("mask", (8, 8), np.uint8, names=("road", "sky"))}
    assert build(fields).health.chance(16) == pytest.approx(np.log(2))
    assert build(fields, class_weights=(1.0, 2.0)).health.chance is None
    for given, settings, message in (
        (fields, {"num_classes": 3}, r"num_classes = 3, .* 2 names, \('road', 'sky'\)"),
        (None, {}, "num_classes = None, and .* no names"),
        (None, {"num_classes": 1}, "num_classes = 1 must be at least 2"),
        (fields, {"class_weights": (1.0,)}, "1 numbers for 2 classes"),
        (fields, {"border_weight": -1.0}, "border_weight = -1.0 must be at least 0"),
        (fields, {"border_sigma": 0.0}, "border_sigma = 0.0 must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            build(given, **settings)
    with pytest.raises(ValueError, match="no 'head'; its heads are decoder"):
        METHODS["segmenter"](encoder, masked_image, {"head": None}, num_classes=2)


def test_views_of_another_kind_are_named(rng):
    views = views_of(rng)
    method = METHODS["segmenter"](
        ENCODERS["unet"](widths=(2, 2)), masked_image, num_classes=K, border_weight=1.0
    )
    del views["borders"]
    with pytest.raises(ValueError, match=r"'segmentation_crops' and .*'mask', 'borde"):
        jax.eval_shape(method.init, KEY, views)
    with pytest.raises(ValueError, match="the views are"):
        jax.eval_shape(method.init, KEY, views["image"])


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [UNET, VALID])
def test_one_image_is_learned_by_heart(rng, encoder):
    views = jax.tree.map(lambda x: x[:1], views_of(rng, (16, 16)))
    method, params, state = made(views, {**encoder, "widths": (16, 32)})
    tx = optax.adam(optax.cosine_decay_schedule(0.01, 600))
    grad = jax.value_and_grad(method.loss, has_aux=True)

    @jax.jit
    def step(params, state, slots, key):
        (value, (state, _)), gradient = grad(params, state, views, key=key, step=0)
        moves, slots = tx.update(gradient, slots)
        return optax.apply_updates(params, moves), state, slots, value

    slots = tx.init(params)
    for key in jax.random.split(KEY, 600):
        params, state, slots, value = step(params, state, slots, key)
    assert value < 1e-3
