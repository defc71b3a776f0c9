"""Laws of views in which an image and its mask move together."""

import jax
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.augment.segmentation import (
    displacements,
    mirrored,
    segmentation_crops,
    segmentation_whole,
)
from jax_ssl.core.fields import ON_CANVAS, Field
from tests.laws import follows_uniform, has_probability

KEY = jax.random.key(0)
H, W, K = 24, 32, 4
FIELDS = {
    "image": Field("image", (H, W, 1), np.float32),
    "mask": Field("mask", (H, W), np.uint8),
    "borders": Field("distance", (H, W), np.float32),
    "label": Field("label", (), np.int32),
}


@pytest.fixture
def example(rng):
    """Patches of equal classes; the image shows the class, and its like is borders."""
    mask = rng.integers(0, K, (H // 8, W // 8)).astype(np.uint8)
    mask = mask.repeat(8, 0).repeat(8, 1)
    image = (mask[..., None] / (K - 1)).astype(np.float32)
    return {"image": image, "mask": mask, "borders": mask.astype(np.float32)}


@pytest.fixture
def noise(rng):
    return {
        "image": rng.uniform(size=(H, W, 2)).astype(np.float32),
        "mask": rng.integers(0, K, (H, W)).astype(np.uint8),
    }


def made(example, key=KEY, **settings):
    view = segmentation_crops(FIELDS, **{"flip": 0.0, **settings})
    return jax.jit(view)(key, example)


def test_without_changes_the_tile_is_the_image_and_its_margin_a_mirror(noise):
    out = made(noise, elastic=0.0, margin=5)
    np.testing.assert_array_equal(out["mask"], noise["mask"])
    padded = np.pad(noise["image"], ((5, 5), (5, 5), (0, 0)), "reflect")
    np.testing.assert_array_equal(out["image"], padded)
    whole = jax.jit(segmentation_whole(FIELDS, margin=5))(KEY, noise)
    np.testing.assert_array_equal(whole["image"], padded)
    np.testing.assert_array_equal(whole["mask"], noise["mask"])


def test_a_tile_is_cut_at_every_place_and_shows_what_is_around_it(noise):
    view = segmentation_crops(FIELDS, size=(20, 30), margin=3, flip=0.0)
    out = jax.jit(jax.vmap(view, (0, None)))(jax.random.split(KEY, 60), noise)
    padded = np.pad(noise["image"], ((3, 3), (3, 3), (0, 0)), "reflect")
    places = set()
    for image, mask in zip(out["image"], out["mask"], strict=True):
        found = [
            (i, j)
            for i, j in np.ndindex(H - 20 + 1, W - 30 + 1)
            if np.array_equal(image, padded[i : i + 26, j : j + 36])
        ]
        assert len(found) == 1
        i, j = found[0]
        np.testing.assert_array_equal(mask, noise["mask"][i : i + 20, j : j + 30])
        places.add((i, j))
    assert {i for i, _ in places} == set(range(5))
    assert {j for _, j in places} == set(range(3))


def test_flips_are_those_of_image_and_mask(noise):
    view = segmentation_crops(FIELDS, flip=0.3, vertical_flip=0.6)
    out = jax.jit(jax.vmap(view, (0, None)))(jax.random.split(KEY, 300), noise)
    kinds = {}
    for i, j in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        same = {
            name: (np.asarray(values) == noise[name][::i, ::j]).reshape(300, -1).all(1)
            for name, values in out.items()
        }
        np.testing.assert_array_equal(same["image"], same["mask"])
        kinds[i, j] = same["image"]
    assert (sum(found.astype(int) for found in kinds.values()) == 1).all()
    has_probability(kinds[1, -1] | kinds[-1, -1], 0.3)
    has_probability(kinds[-1, 1] | kinds[-1, -1], 0.6)


@pytest.mark.parametrize(
    "settings",
    [
        {"elastic": 3.0, "margin": 4},
        pytest.param({"degrees": 180.0}, marks=pytest.mark.slow),
        pytest.param(
            {"min_scale": 1.5, "max_scale": 2.0, "size": 16}, marks=pytest.mark.slow
        ),
    ],
    ids=["elastic", "rotation", "scale"],
)
def test_image_and_mask_move_together(example, settings):
    """Where the image has the level of a class, between edges, so has the mask."""
    view = segmentation_crops(FIELDS, flip=0.5, carried=("mask", "borders"), **settings)
    out = jax.jit(jax.vmap(view, (0, None)))(jax.random.split(KEY, 8), example)
    margin = settings.get("margin", 0)
    inner = slice(margin, out["image"].shape[1] - margin)
    inner = inner, slice(margin, out["image"].shape[2] - margin)
    levels = np.asarray(out["image"])[:, *inner, 0] * (K - 1)
    classes, mask = np.round(levels), np.asarray(out["mask"])
    there = mask != 255
    pure = there & (np.abs(levels - classes) < 1e-3)
    assert pure.mean() > 0.25
    # A pixel between two classes may have the level of a third.
    assert (classes == mask)[pure].mean() > 0.97
    grown = np.asarray(out["borders"])[there] / np.maximum(mask[there], 1)
    grown = grown[mask[there] > 0]
    low, high = (settings.get(k, 1.0) for k in ("min_scale", "max_scale"))
    assert low - 1e-5 <= grown.min() <= grown.max() <= high + 1e-5
    assert (mask != example["mask"][: mask.shape[1], : mask.shape[2]]).any()
    assert not np.asarray(out["borders"])[~there].any()


def test_beyond_the_border_a_mask_is_void_and_an_image_mirrored(noise):
    out = made(noise, min_scale=0.5, max_scale=0.5)
    mask = np.asarray(out["mask"])
    assert mask.shape == (H, W)
    inside = np.zeros((H, W), bool)
    inside[H // 4 : 3 * H // 4, W // 4 : 3 * W // 4] = True
    np.testing.assert_array_equal(mask != 255, inside)
    assert np.asarray(out["image"]).min() > 0
    x = np.arange(-9, 12)
    expected = np.pad(np.arange(4), 9, "reflect")[: len(x)]
    folded = jax.jit(mirrored)
    np.testing.assert_array_equal(folded(np.float32(x), 4.0), expected)
    assert not np.any(folded(np.float32(x), 1.0))


def test_displacements_go_through_their_nodes_and_keep_a_shift(rng):
    nodes = rng.normal(size=(3, 3, 2)).astype(np.float32)
    between = jax.jit(displacements, static_argnums=(1, 2))
    fine = np.asarray(between(nodes, 21, 41))
    np.testing.assert_allclose(fine[::10, ::20], nodes, atol=1e-5)
    same = between(np.ones((3, 3, 2), np.float32), 21, 41)
    np.testing.assert_allclose(same, 1, rtol=1e-6)
    # Smooth: no step is larger than the nodes' differences ask for.
    assert np.abs(np.diff(fine, axis=0)).max() < 0.35 * np.ptp(nodes)


def test_elastic_amounts_are_the_papers(example):
    """Pixels of a ramp say by how much they were moved."""
    ramp = np.broadcast_to(np.arange(W, dtype=np.float32) / W, (H, W))[..., None]
    view = segmentation_crops(FIELDS, flip=0.0, elastic=2.0)
    grid = {"image": ramp, "mask": example["mask"]}
    out = jax.jit(jax.vmap(view, (0, None)))(jax.random.split(KEY, 400), grid)
    middle = H // 2 - 1, W // 2 - 1
    moved = W * np.asarray(out["image"])[:, *middle, 0] - middle[1]
    # The node lies half a pixel further, where the field is little different.
    assert np.std(moved) == pytest.approx(2.0, rel=0.15)
    assert abs(np.mean(moved)) < 0.35


def test_angles_and_scales_are_uniform(noise):
    view = segmentation_crops(
        FIELDS, flip=0.0, min_scale=0.5, max_scale=1.0, carried=("mask",)
    )
    out = jax.jit(jax.vmap(view, (0, None)))(jax.random.split(KEY, 200), noise)
    share = (np.asarray(out["mask"]) != 255).mean((1, 2))
    # What is there of the tile is the square of the scale, up to whole pixels.
    follows_uniform(np.clip(np.sqrt(share), 0.5, 1.0), 0.49, 1.01)


def test_grey_images_are_jittered_as_such(noise):
    grey = {**noise, "image": noise["image"][..., :1]}
    out = made(grey, strength=1.0, jitter=(0.3, 0.3, 0.0, 0.0))
    assert out["image"].shape == (H, W, 1)
    assert np.abs(out["image"] - grey["image"]).max() > 1e-3
    np.testing.assert_array_equal(out["mask"], grey["mask"])
    order = np.argsort(np.asarray(grey["image"]).ravel())
    assert (np.diff(np.asarray(out["image"]).ravel()[order]) >= -1e-6).all()
    with pytest.raises(ValueError, match=r"2 channel.s., .* strength=0"):
        made(noise, strength=1.0)


def test_the_filled_part_of_a_canvas_is_all_there_is(noise):
    canvas = {**noise, "size": np.int32([16, 20]), "scale": np.float32([1, 1])}
    fields = {**FIELDS, **ON_CANVAS}
    whole = jax.jit(segmentation_whole(fields))(KEY, canvas)
    mask = np.asarray(whole["mask"])
    np.testing.assert_array_equal(mask[:16, :20], noise["mask"][:16, :20])
    assert (mask[16:] == 255).all()
    assert (mask[:, 20:] == 255).all()
    filled = noise["image"][:16, :20]
    padded = np.pad(filled, ((0, H - 16), (0, W - 20), (0, 0)), "reflect")
    np.testing.assert_array_equal(whole["image"], padded)
    view = segmentation_crops(fields, size=16, flip=0.0)
    out = jax.jit(jax.vmap(view, (0, None)))(jax.random.split(KEY, 20), canvas)
    assert (np.asarray(out["mask"]) != 255).all()


def test_evaluation_shows_images_without_masks_and_never_draws(noise):
    view = VIEWS["segmentation_whole"](FIELDS, size=(8, 12), mean=(0.5,), std=(2.0,))
    seen = jax.jit(view)(KEY, {"image": noise["image"]})
    assert set(seen) == {"image"}
    middle = noise["image"][8:16, 10:22]
    np.testing.assert_allclose(seen["image"], (middle - 0.5) / 2, rtol=1e-6)
    assert "random_bits" not in str(jax.make_jaxpr(view)(KEY, noise))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"carried": ("mask", "flow")}, "the examples have no 'flow'"),
        ({"carried": ("label",)}, "'label' is of kind 'label'; what follows is mask"),
        ({"min_scale": 2.0}, "min_scale = 2.0 .* max_scale = 1.0"),
        ({"flip": 1.5}, r"flip = 1.5 must be in \[0, 1\]"),
        ({"margin": -1}, "margin = -1 must be at least 0"),
        ({"elastic_grid": 1}, "elastic_grid = 1 must be at least 2"),
        ({"mean": (0.5,)}, "give both or neither"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        segmentation_crops(FIELDS, **settings)


def test_a_missing_mask_is_named(noise):
    with pytest.raises(ValueError, match=r"have no 'mask', only .'image'"):
        made({"image": noise["image"]})
