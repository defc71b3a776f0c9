"""Heads of segmentation on frozen encoders: crops, levels, training and what counts."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from jax_ssl.core.fields import VOID
from jax_ssl.core.method import Method
from jax_ssl.core.types import Features
from jax_ssl.data.arrays import arrays
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate.crops import random_crop
from jax_ssl.evaluate.judge import Judge
from jax_ssl.evaluate.levels import cells, last_levels
from jax_ssl.evaluate.linear_segmentation import linear_segmentation
from jax_ssl.evaluate.segmentation import overlaps
from jax_ssl.evaluate.unet_segmentation import unet_segmentation
from jax_ssl.nn.cells import LinearCells
from jax_ssl.parallel.mesh import make_mesh
from tests.encoders.draws import random_variables
from tests.evaluate.test_judge import data
from tests.references import linear_cells as reference

SIDES, CELL = (8, 12), 4
SEEN = functools.partial(jax.ShapeDtypeStruct, (*SIDES, 3), jnp.float32)
QUICK = {"batch_size": 8, "steps": 30, "warmup_steps": 2, "learning_rates": (0.1,)}
CONVNET = ENCODERS["convnet"](widths=(4, 8, 8))
VIT = ENCODERS["vit"](dim=8, depth=3, num_heads=2, patch=4, image_size=8)


class Means(nn.Module):
    """The mean colour of each cell through a matrix that is drawn: zeros untrained."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        kernel = self.param("kernel", nn.initializers.zeros, (3, 5))
        B, H, W, C = x.shape
        grid = x.reshape(B, H // CELL, CELL, W // CELL, CELL, C).mean((2, 4)) @ kernel
        return Features(grid.mean((1, 2)), grid)


def view(key, example):
    del key
    return {
        "image": example["image"].astype(jnp.float32) / 255,
        "mask": example["mask"],
    }


def scenes(count, seed):
    """Cells of one colour each, which is their class, and noise; some pixels void."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (count, SIDES[0] // CELL, SIDES[1] // CELL))
    mask = classes.repeat(CELL, 1).repeat(CELL, 2).astype(np.uint8)
    image = 60 * mask[..., None] + rng.integers(0, 60, (*mask.shape, 3))
    mask[rng.uniform(size=mask.shape) < 0.1] = VOID
    return arrays({"image": image.astype(np.uint8), "mask": mask}, mask_names="abc")


def kernel():
    """What the trained encoder has."""
    return np.random.default_rng(5).normal(size=(3, 5)).astype(np.float32)


def judged(protocols, *, devices=1, kinds=None, train=None):
    mesh = make_mesh(devices=jax.devices()[:devices])
    encoder = Means()
    method = Method(
        encoder=encoder,
        views=view,
        init=None,
        loss=None,
        exports={"encoder": lambda params, state: {"params": params}},
    )
    fresh = lambda: ({"kernel": jnp.zeros((3, 5))}, ())
    one = Judge(method, view, fresh, mesh, at_once=8)
    train, test = (data(x, mesh) for x in (train or scenes(21, 0), scenes(11, 1)))
    with jax.set_mesh(mesh):
        trained = {"kernel": jnp.asarray(kernel())}, ()
        return one.judge(protocols, trained, train, test, kinds=kinds)


@functools.cache
def plain():
    """Two learning rates, of which one is far too low; no crop is enlarged."""
    rates = {"learning_rates": (1e-7, 0.1), "min_scale": 1.0, "max_scale": 1.0}
    fields = scenes(1, 0).fields
    probe = linear_segmentation(Means(), SEEN, fields, **{**QUICK, **rates})
    return judged([probe], kinds=["trained", "untrained"])


def test_a_linear_head_learns_what_the_cells_tell_and_no_more():
    (evaluation,) = plain()["evaluations"]
    rows = {row["features"]: row for row in evaluation["rows"]}
    assert rows["trained"]["miou"] > 0.7
    # Zeros everywhere tell no cell from another: one class is said of all pixels.
    said = rows["untrained"]["detail"]["iou"]
    masks = scenes(11, 1).arrays["mask"]
    share = (masks[masks != VOID] == 0).mean(), (masks[masks != VOID] == 1).mean()
    assert sorted(said.values())[:2] == [0, 0]
    assert any(
        max(said.values()) == pytest.approx(each) for each in (*share, 1 - sum(share))
    )
    assert rows["untrained"]["miou"] == pytest.approx(max(said.values()) / 3)


def test_the_learning_rate_is_chosen_on_training_pictures_held_out():
    detail = plain()["evaluations"][0]["rows"][0]["detail"]
    assert detail["learning_rate"] == 0.1
    low, high = detail["validation"]
    assert low["miou"] < high["miou"]
    assert "0.1 is at the edge" in detail["note"]
    assert [*detail["iou"]] == ["a", "b", "c"]


def test_training_is_that_of_float64():
    """One picture, whole in every step: the loss of the last of ten steps."""
    scene = scenes(1, 3)
    image, mask = (scene.arrays[name][0] for name in ("image", "mask"))
    settings = {"min_scale": 1.0, "max_scale": 1.0, "flip": 0.0, "batch_size": 1}
    more = {"steps": 10, "warmup_steps": 4, "learning_rates": (0.05,)}
    probe = linear_segmentation(
        Means(), SEEN, scene.fields, **settings, **more, weight_decay=0.1, seed=7
    )
    record = judged([probe], kinds=["trained"], train=scene)
    means = (image / 255).reshape(2, CELL, 3, CELL, 3).mean((1, 3))
    head_key, _ = jax.random.split(jax.random.key(7))
    first = LinearCells(3).init(head_key, (jnp.zeros((1, 2, 3, 5)),), train=False)
    wanted = reference.losses(
        means @ np.float64(kernel()),
        mask,
        np.asarray(first["params"]["Dense_0"]["kernel"]),
        steps=10,
        warmup=4,
        rate=0.05,
        decay=0.1,
    )
    detail = record["evaluations"][0]["rows"][0]["detail"]
    assert detail["train_loss"] == pytest.approx(wanted[-1], rel=1e-4)
    assert wanted[-1] < 0.8 * wanted[0]


@pytest.mark.slow
def test_any_number_of_devices_gives_the_same_heads():
    fields = scenes(1, 0).fields
    made = [
        judged([linear_segmentation(Means(), SEEN, fields, **QUICK)], devices=n)
        for n in (1, 8)
    ]
    (one,), (eight,) = (record["evaluations"] for record in made)
    kinds = [row["features"] for row in one["rows"]]
    assert kinds == ["trained", "untrained", "pixels"]
    assert one["rows"][2]["miou"] > 0.7
    for row, other in zip(one["rows"], eight["rows"], strict=True):
        assert row["detail"]["train_loss"] == pytest.approx(
            other["detail"]["train_loss"], rel=1e-3
        )
        assert row["miou"] == pytest.approx(other["miou"], abs=0.01)


@pytest.mark.slow
def test_a_decoder_learns_from_all_stages_of_a_network_that_is_not_trained():
    images = jnp.zeros((1, *SIDES, 3))
    params, stats = random_variables(CONVNET, images, 0)
    method = Method(
        encoder=CONVNET,
        views=view,
        init=None,
        loss=None,
        exports={"encoder": lambda params, state: {"params": params, **state}},
    )
    probe = unet_segmentation(
        CONVNET, SEEN, scenes(1, 0).fields, widths=8, **{**QUICK, "steps": 60}
    )
    mesh = make_mesh(devices=jax.devices()[:1])
    train, test = (data(scenes(n, seed), mesh) for n, seed in ((21, 0), (11, 1)))
    one = Judge(method, view, lambda: (params, stats), mesh)
    with jax.set_mesh(mesh):
        record = one.judge([probe], (params, stats), train, test, kinds=["untrained"])
    (evaluation,) = record["evaluations"]
    assert evaluation["settings"]["widths"] == [8, 8]
    assert evaluation["rows"][0]["miou"] > 0.6


def test_overlaps_are_those_of_scikit_learn(rng):
    true, said = rng.integers(0, 5, (2, 400))
    said[true == 3] = 3
    counts = [np.bincount(x, minlength=7) for x in (true[true == said], said, true)]
    values, iou = overlaps(np.array(counts), ("zero", "one"))
    wanted = jaccard_score(true, said, average=None)
    np.testing.assert_allclose([*iou.values()], wanted)
    assert [*iou] == ["zero", "one", "2", "3", "4"]
    assert values["miou"] == pytest.approx(wanted.mean())
    assert values["pixel_accuracy"] == pytest.approx((true == said).mean())


@functools.partial(jax.jit, static_argnums=2)
def cropped(key, seen, sides, scale, flip):
    return random_crop(key, seen, sides=sides, scales=(scale, scale), flip=flip)


def crop_of(seen, key=0, *, sides=None, scale=1.0, flip=0.0):
    sides = seen["mask"].shape if sides is None else sides
    made = cropped(jax.random.key(key), seen, sides, scale, flip)
    return jax.tree.map(np.asarray, made)


@pytest.fixture
def seen(rng):
    return {
        "image": jnp.asarray(rng.normal(size=(6, 9, 3)), jnp.float32),
        "mask": jnp.asarray(rng.integers(0, 9, (6, 9)), jnp.uint8),
    }


def test_crops_of_image_and_mask_stay_together(seen):
    whole, mirrored = crop_of(seen), crop_of(seen, flip=1.0)
    for name in seen:
        np.testing.assert_allclose(whole[name], seen[name], atol=1e-6)
        np.testing.assert_allclose(mirrored[name], seen[name][:, ::-1], atol=1e-6)
    places = set()
    for key in range(20):
        made = crop_of(seen, key, sides=(4, 5))
        found = [
            (y, x)
            for y in range(3)
            for x in range(5)
            if (made["mask"] == seen["mask"][y : y + 4, x : x + 5]).all()
        ]
        (place,) = found
        y, x = place
        np.testing.assert_allclose(
            made["image"], seen["image"][y : y + 4, x : x + 5], atol=1e-6
        )
        places.add(place)
    assert len(places) > 6


def test_an_enlarged_crop_shows_every_pixel_twice_and_a_reduced_one_is_void_around(
    seen,
):
    large = crop_of(seen, sides=(12, 18), scale=2.0)
    np.testing.assert_array_equal(
        large["mask"], np.asarray(seen["mask"]).repeat(2, 0).repeat(2, 1)
    )
    # Bilinearly, a quarter of the neighbour.
    row = np.float64(seen["image"])[:, 0]
    np.testing.assert_allclose(
        large["image"][3, 0], 0.75 * row[1] + 0.25 * row[2], atol=1e-6
    )
    small = crop_of(seen, sides=(6, 9), scale=0.5)
    assert (small["mask"] != VOID).sum() in (3 * 4, 3 * 5)
    assert (small["mask"][[0, -1]] == VOID).all()


def test_cells_hold_their_own_pixels(rng):
    x = rng.normal(size=(2, 6, 8, 3)).astype(np.float32)
    found = np.asarray(cells(jnp.asarray(x), (3, 2)))
    assert found.shape == (2, 3, 2, 2 * 4 * 3)
    np.testing.assert_array_equal(found[1, 2, 1], x[1, 4:, 4:].ravel())
    assert cells(jnp.asarray(x), (4, 3)).shape == (2, 4, 3, 2 * 3 * 3)


def test_levels_are_the_encoders_own(rng):
    x = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)

    def known(encoder):
        params, stats = random_variables(encoder, x, 0)
        return {"params": params, **stats}

    variables = known(CONVNET)
    features = jax.jit(functools.partial(CONVNET.apply, train=False))(variables, x)
    read = lambda *asked: jax.jit(last_levels(CONVNET, *asked).network)(variables, x)
    same = functools.partial(jax.tree.map, np.testing.assert_array_equal)
    same(read(1, None), (features.grid,))
    same(read(2, None), features.pyramid[1:])
    same(read(1, 2), features.pyramid[1:2])
    raw = last_levels(CONVNET, 2, None).raw({}, x)
    assert [level.shape[:3] for level in raw] == [
        level.shape[:3] for level in features.pyramid[1:]
    ]
    variables = known(VIT)

    @jax.jit
    def tokens(variables):
        grid = VIT.apply(variables, x, train=False).grid
        asked = ((1, None), (3, None), (1, 1))
        return grid, *(last_levels(VIT, *a).network(variables, x) for a in asked)

    grid, last, several, first = tokens(variables)
    same(last, (grid,))
    assert [level.shape for level in several] == [(2, 2, 2, 8)] * 3
    same(several[-1:], last)
    same(first, several[:1])


def test_a_view_that_shows_no_mask_is_refused_before_anything_runs():
    mesh = make_mesh(devices=jax.devices()[:1])
    plain = lambda key, example: view(key, example)["image"]
    method = Method(encoder=Means(), views=view, init=None, loss=None, exports={})
    probe = linear_segmentation(Means(), SEEN, num_classes=3)
    with pytest.raises(ValueError, match="shows, which is image and no mask: choose"):
        Judge(method, plain, None, mesh).rehearse([probe], (), data(scenes(4, 0), mesh))


@pytest.mark.parametrize(
    ("make", "encoder", "settings", "message"),
    [
        (linear_segmentation, CONVNET, {}, "set num_classes to their number"),
        (
            linear_segmentation,
            CONVNET,
            {"num_classes": 3, "stage": 4},
            r"stage = 4 must be in \[1, 3\]",
        ),
        (
            linear_segmentation,
            VIT,
            {"num_classes": 3, "blocks": 4},
            r"blocks = 4 must be in \[1, 3\]",
        ),
        (
            linear_segmentation,
            VIT,
            {"num_classes": 3, "crop": 6},
            "6 x 6 pixels cannot be cut into patches of 4 x 4",
        ),
        (
            linear_segmentation,
            CONVNET,
            {"num_classes": 3, "min_scale": 3.0},
            "min_scale = 3.0 must be at most max_scale = 2.0",
        ),
        (unet_segmentation, VIT, {"num_classes": 3}, "a ViT has no pyramid"),
        (
            unet_segmentation,
            CONVNET,
            {"num_classes": 3, "widths": (8,)},
            r"widths = \(8,\) must hold 2 numbers",
        ),
    ],
)
def test_impossible_settings_are_refused(make, encoder, settings, message):
    with pytest.raises(ValueError, match=message):
        make(encoder, SEEN, **settings)
