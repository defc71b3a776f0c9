"""The recipes of papers: their numbers, their results, their programs."""

import functools
import re

import jax
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.augment.crop import RandomCrop
from jax_ssl.augment.films import FILMS
from jax_ssl.augment.recipe import Recipe, View
from jax_ssl.augment.steps import Blur, Grayscale, Standardize
from jax_ssl.config.bind import bind, resolve, schema
from jax_ssl.ops.platforms import looping
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from jax_ssl.parallel.rows import map_examples
from tests import laws
from tests.references import views as reference

KEY = jax.random.key(3)
SMALL_DINO = {"global_size": 24, "local_size": 12, "num_locals": 3}


GENERAL = {
    *("random_crops", "two_crops", "two_affine", "center_crop", "identity"),
    *("first_frame", "two_frames", "random_window", "two_windows", "wave_window"),
    *FILMS,  # They have tests of their own.
    *("segmentation_crops", "segmentation_whole", "squeezed"),
    *("detection_crops", "detection_whole"),
}
PAPERS = sorted(set(VIEWS) - GENERAL)
PATCHES = {"relative_patch", "jigsaw", "cpc_patches"}


@pytest.fixture(scope="module")
def batch():
    """Eight colour images of different sizes on a canvas of 32 x 32."""
    rng = np.random.default_rng(0)
    images = np.stack([reference.picture(rng, 32, 32) for _ in range(8)])
    size = rng.integers(20, 33, (8, 2)).astype(np.int32)
    for image, (height, width) in zip(images, size, strict=True):
        image[height:], image[:, width:] = 0, 0
    rows = np.arange(8, dtype=np.int32)
    return {"image": images, "size": size, "index": rows, "label": rows % 3}


def program(fn):
    return jax.jit(functools.partial(map_examples, fn))


def shapes(fn, batch):
    example = jax.tree.map(lambda x: x[0], batch)
    made = jax.eval_shape(fn, KEY, example)
    return jax.tree.map(lambda x: x.shape, made)


@pytest.mark.parametrize("name", PAPERS)
def test_recipe_makes_what_its_docstring_says(batch, name):
    made = shapes(VIEWS[name](), batch)
    one, pair = (224, 224, 3), (2, 224, 224, 3)
    expected = {
        "mae": one,
        "supervised_test": one,
        "supervised": {"image": one, "label": ()},
        "supcon": {"image": pair, "label": ()},
        "npid": {"image": one, "index": ()},
        "deepcluster": {"image": one, "index": ()},
        "dino": {"global": pair, "local": (8, 96, 96, 3)},
        "swav": {"global": pair, "local": (6, 96, 96, 3)},
        "simclr_cifar": (2, 32, 32, 3),
        "exemplar": {"image": (32, 32, 3), "index": ()},
        "relative_patch": (9, 96, 96, 3),
        "jigsaw": (9, 64, 64, 3),
        "cpc_patches": (49, 64, 64, 3),
        "amdim": (2, 128, 128, 3),
        "cmc": {"image": one, "index": ()},
        "pirl": {"image": one, "transformed": (9, 64, 64, 3), "index": ()},
        "looc": (4, 224, 224, 3),
    }
    assert made == expected.get(name, pair)
    # SimCLR reads pixels in [0, 1], and so does CMC, which makes Lab of them; the tiles
    # of a puzzle have their own moments.
    plain = name.startswith("simclr") or name in {"cmc", *PATCHES}
    assert (resolve(VIEWS[name], {})["mean"] is None) == plain


# What the papers' appendices and released codes say, view by view: crop's smallest and
# largest area, its filter, what happens to crops that do not fit; amounts of jitter and
# their probability; probabilities of gray, blur and its kernel, and solarization.
B, P = "sampled", "pillow"
STRONG, MILD, BYOLS = (0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.4, 0.1), (0.4, 0.4, 0.2, 0.1)
MOCO = (0.2, 1.0, "bilinear", "torchvision", MILD, 0.8, 0.2, (0.5, P), 0)


def pair(*start, kernel=P):
    return [
        (*start, BYOLS, 0.8, 0.2, (1.0, kernel), 0),
        (*start, BYOLS, 0.8, 0.2, (0.1, kernel), 0.2),
    ]


WHOLE = (0.08, 1.0, "bicubic", "torchvision")
NUMBERS = {
    "simclr": [(*WHOLE, STRONG, 0.8, 0.2, (0.5, B), 0)] * 2,
    "simclr_cifar": [(*WHOLE, STRONG, 0.8, 0.2, 0, 0)] * 2,
    "w_mse": [(*WHOLE, STRONG, 0.8, 0.2, 0, 0)] * 2,
    "moco_v2": [MOCO] * 2,
    "simsiam": [MOCO] * 2,
    "moco_v1": [(0.2, 1.0, "bilinear", "torchvision", (0.4,) * 4, 1.0, 0.2, 0, 0)] * 2,
    "npid": [(0.2, 1.0, "bilinear", "torchvision", (0.4,) * 4, 1.0, 0.2, 0, 0)],
    "byol": pair(0.08, 1.0, "bicubic", "clipped", kernel=B),
    "barlow_twins": pair(*WHOLE),
    "vicreg": pair(*WHOLE),
    "moco_v3": pair(0.08, 1.0, "bilinear", "torchvision"),
    "swav": [(0.14, 1.0, *MOCO[2:4], STRONG, 0.8, 0.2, (0.5, P), 0)] * 2
    + [(0.05, 0.14, *MOCO[2:4], STRONG, 0.8, 0.2, (0.5, P), 0)] * 6,
    "dino": pair(0.4, 1.0, "bicubic", "torchvision")
    + [(0.05, 0.4, *WHOLE[2:], BYOLS, 0.8, 0.2, (0.5, P), 0)] * 8,
    "infomin": [(*MOCO[:4], STRONG, 0.8, 0.2, (0.5, B), 0)] * 2,
    "supcon": [(*MOCO[:7], 0, 0)] * 2,
    "mae": [(0.2, 1.0, "bicubic", "torchvision", None, 0, 0, 0, 0)],
    "cmc": [(0.2, 1.0, "bilinear", "torchvision", None, 0, 0, 0, 0)],
    "deepcluster": [(0.08, 1.0, "bilinear", "torchvision", None, 0, 0, 0, 0)],
    "supervised": [(0.08, 1.0, "bilinear", "torchvision", None, 0, 0, 0, 0)],
}


def numbers(view):
    crop, steps = view.crop, {step.name: step for step in view.steps}
    jitter, blur = steps.get("color jitter"), steps.get("blur")
    assert crop.flip == 0.5
    assert (crop.min_ratio, crop.max_ratio) == (3 / 4, 4 / 3)
    if blur is not None:
        assert (blur.min_sigma, blur.max_sigma) == (0.1, 2.0)
    return (
        *(crop.min_scale, crop.max_scale, crop.interpolation, crop.sampling),
        *((jitter.amounts, jitter.probability) if jitter else (None, 0)),
        steps["grayscale"].probability if "grayscale" in steps else 0,
        (blur.probability, blur.kernel) if blur else 0,
        steps["solarize"].probability if "solarize" in steps else 0,
    )


@pytest.mark.parametrize("name", NUMBERS)
def test_recipe_has_its_papers_numbers(name):
    views = [view for stack in VIEWS[name]().parts().values() for view in stack]
    assert [numbers(view) for view in views] == NUMBERS[name]


def test_every_paper_is_covered():
    # Those of pretext tasks have tests of their own, operation by operation.
    own = {"exemplar", "amdim", "pirl", "looc", *PATCHES}
    assert {*NUMBERS, "supervised_test", *own} == set(PAPERS)


def test_both_views_of_amdim_are_mirrored_or_none_is():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(8, 8, 3)).astype(np.float32)
    plain = {"strength": 0.0, "gray_probability": 0.0, "mean": None, "std": None}
    still = {"min_scale": 1.0, "min_ratio": 1.0, "max_ratio": 1.0}
    views = VIEWS["amdim"](size=8, **plain, **still, flip=0.3)
    draw = jax.jit(jax.vmap(lambda key: views(key, {"image": image})))
    made = np.asarray(draw(jax.random.split(KEY, 400)))
    np.testing.assert_array_equal(made[:, 0], made[:, 1])
    mirrored = np.isclose(made[:, 0], image[:, ::-1], atol=1e-5).all((1, 2, 3))
    straight = np.isclose(made[:, 0], image, atol=1e-5).all((1, 2, 3))
    np.testing.assert_array_equal(mirrored, ~straight)
    laws.has_probability(mirrored, 0.3)
    with pytest.raises(ValueError, match=r"flip = 2 must be in \[0, 1\]"):
        VIEWS["amdim"](flip=2)


def test_steps_come_in_the_papers_order():
    def order(name):
        view = next(iter(VIEWS[name]().parts().values()))[-1]
        return [step.name for step in view.steps]

    assert order("simclr") == ["color jitter", "grayscale", "blur"]
    full = ["color jitter", "grayscale", "blur", "solarize", "standardize"]
    assert order("byol") == full
    assert order("moco_v1") == ["grayscale", "color jitter", "standardize"]
    assert VIEWS["byol"]().parts()[""][1].steps[1].name == "grayscale"
    last = ["RandAugment", "grayscale", "standardize"]
    assert order("infomin") == ["color jitter", "blur", *last]


def test_infomin_has_the_first_form_of_rand_augment():
    step = VIEWS["infomin"]().parts()[""][0].steps[2]
    assert (step.num_ops, step.magnitude) == (2, 10.0)
    assert step.draw.keywords == {"increasing": False}
    with pytest.raises(ValueError, match="rand_augment_magnitude = 11"):
        VIEWS["infomin"](rand_augment_magnitude=11)


def test_byol_adds_brightness_and_simclr_multiplies():
    by_name = {
        name: VIEWS[name]().parts()[""][0].steps[0] for name in ("byol", "simclr")
    }
    assert by_name["byol"].brightness == "additive"
    assert by_name["simclr"].brightness == "multiplicative"


def test_crops_of_any_mix_of_sizes(batch):
    fn = VIEWS["swav"](
        sizes=(24, 12, 8),
        counts=(1, 2, 3),
        min_scales=(0.5, 0.2, 0.1),
        max_scales=(1.0, 0.5, 0.2),
    )
    assert shapes(fn, batch) == {
        "global": (1, 24, 24, 3),
        "local": (2, 12, 12, 3),
        "local_2": (3, 8, 8, 3),
    }
    with pytest.raises(ValueError, match=r"^sizes = \(224,\), .* one entry"):
        VIEWS["swav"](sizes=(224,))
    assert set(shapes(VIEWS["dino"](num_locals=0), batch)) == {"global"}


def test_settings_come_from_a_config():
    fn = bind(VIEWS["dino"], {}, {"local_scale": [0.05, 0.25], "num_locals": 10})
    assert len(fn.parts()["local"]) == 10
    assert fn.parts()["local"][0].crop.max_scale == 0.25
    with pytest.raises(ValueError, match="num_local"):
        bind(VIEWS["dino"], {}, {"num_local": 10})


def test_a_recipe_looks_like_what_it_makes(batch):
    example = jax.tree.map(lambda x: x[0], batch)
    view = View(RandomCrop(size=8), Standardize((0.5,), (0.25,)))
    alone = jax.eval_shape(Recipe("mine", view), KEY, example)
    assert alone.shape == (8, 8, 3)
    whole = Recipe("mine", {"a": view, "b": (view,)}, ("index",))
    made = jax.jit(lambda *given: whole(*given))(KEY, example)
    assert {k: v.shape for k, v in made.items()} == {
        "a": (8, 8, 3),
        "b": (1, 8, 8, 3),
        "index": (),
    }
    assert made["a"].min() < 0
    with pytest.raises(ValueError, match=r"mine: the examples have no 'label'"):
        Recipe("mine", {"a": view}, ("label",))(KEY, {"image": example["image"]})


def test_steps_that_do_nothing_are_left_out():
    crop = RandomCrop(size=8)
    view = View(crop, Grayscale(probability=0.0), Blur(probability=0.0), Standardize())
    assert view.steps == ()
    assert view == View(crop)
    assert view != View(crop, Grayscale())


def test_gray_images_name_the_settings_to_change():
    with pytest.raises(ValueError, match=r"strength=0 and gray_probability=0"):
        VIEWS["byol"](size=8)(KEY, {"image": np.zeros((16, 16, 1), np.uint8)})


@pytest.fixture(scope="module")
def dino():
    return program(VIEWS["dino"](**SMALL_DINO))


def test_views_differ_from_each_other_and_with_the_key(batch, dino):
    first, second = dino(KEY, batch), dino(jax.random.key(4), batch)
    for name in first:
        views = np.asarray(first[name])
        assert np.abs(views - second[name]).max((2, 3, 4)).min() > 1e-3
        for i in range(1, views.shape[1]):
            assert np.abs(views[:, 0] - views[:, i]).max((1, 2, 3)).min() > 1e-3


@pytest.mark.slow
def test_multi_crop_on_eight_devices(batch, dino):
    """One program for all steps, no collective in it, and the pixels of one device."""
    expected = dino(KEY, batch)
    traced = []

    def fn(key, example):
        traced.append(1)
        return VIEWS["dino"](**SMALL_DINO)(key, example)

    mesh = make_mesh()
    with jax.set_mesh(mesh):
        rows = jax.device_put(batch, row_sharding(mesh))
        run = program(fn).lower(KEY, rows).compile()
        jax.tree.map(np.testing.assert_array_equal, run(KEY, rows), expected)
    assert not re.findall(COLLECTIVES, run.as_text())
    assert len(traced) == 1
    # Another step is another key: nothing that a program is compiled for.
    before = dino._cache_size()
    jax.block_until_ready(dino(jax.random.fold_in(KEY, 1), batch))
    assert dino._cache_size() == before


COLLECTIVES = r"\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)"


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
def test_crops_gather_no_pixels_on_any_platform(batch, dino, platform):
    lowered = dino.trace(KEY, batch).lower(lowering_platforms=(platform,)).as_text()
    assert not re.search(r"stablehlo\.(dynamic_)?gather", lowered)
    # Branches and loops over images are for CPUs, batched products for the others.
    images = re.search(r"dot_general[^\n]*tensor<8x", lowered)
    assert bool(images) == (platform != "cpu")


@pytest.mark.parametrize("name", ["simclr", "byol"])
def test_both_forms_make_the_same_views(batch, name):
    """One image at a time as on a CPU, and all of them as on an accelerator."""
    parts = VIEWS[name](size=24).parts()
    keys = jax.random.split(KEY, len(batch["image"]))
    for view in {stack[-1] for stack in parts.values()}:
        mapped = jax.jit(jax.vmap(view, (0, 0, 0)))
        wide = mapped(keys, batch["image"], batch["size"])

        def one(key, image, extent, view=view):
            with looping(True):
                return view(key, image, extent)

        alone = jax.jit(one)
        for i, key in enumerate(keys):
            got = alone(key, batch["image"][i], batch["size"][i])
            np.testing.assert_allclose(got, wide[i], atol=2e-5)


# What a page could set of each recipe before there was `random_crops`.
PAIR = "size min_scale strength gray_probability mean std"
BYOL = f"{PAIR} blur_probability solarize_probability"
SETTINGS = {
    "simclr": f"{PAIR} brightness blur_probability",
    "simclr_cifar": PAIR,
    "moco_v1": PAIR,
    "moco_v2": f"{PAIR} blur_probability",
    "simsiam": f"{PAIR} blur_probability",
    "byol": f"{BYOL} brightness",
    "barlow_twins": BYOL,
    "vicreg": BYOL,
    "moco_v3": BYOL,
    "mae": "size min_scale mean std",
    "npid": f"{PAIR} flip",
    "deepcluster": "size min_scale mean std",
    "supervised": "size min_scale interpolation rand_augment_ops "
    "rand_augment_magnitude erase_probability mean std",
    "supervised_test": "size resize interpolation mean std",
    "w_mse": f"{PAIR} num_views jitter",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_recipes_that_share_a_factory_keep_the_names_of_their_settings(name):
    assert set(SETTINGS[name].split()) <= set(schema(VIEWS[name]).settings)
