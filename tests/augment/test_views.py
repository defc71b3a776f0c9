"""The recipes: shapes, ranges, composition, refusals, and their programs."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.augment.views import (
    center_crop,
    identity,
    random_crops,
    two_affine,
    two_crops,
)
from jax_ssl.config.bind import schema
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from jax_ssl.parallel.rows import map_examples
from tests.references import views as reference

KEY = jax.random.key(7)
SMALL = {"size": 12, "blur_kernel_share": 0.4, "solarize_probability": 0.3}
CROPS = two_crops(**SMALL)


@pytest.fixture(scope="module")
def batch():
    """Sixteen colour images of different sizes on a canvas of 16 x 16."""
    rng = np.random.default_rng(0)
    images = np.stack([reference.picture(rng, 16, 16) for _ in range(16)])
    size = rng.integers(9, 17, (16, 2)).astype(np.int32)
    for image, (height, width) in zip(images, size, strict=True):
        image[height:], image[:, width:] = 0, 0
    return {"image": images, "size": size, "index": np.arange(16, dtype=np.int32)}


def without_size(batch):
    return {k: v for k, v in batch.items() if k != "size"}


@functools.cache
def program(fn):
    return jax.jit(functools.partial(map_examples, fn))


def views_of(fn, batch, key=KEY):
    return np.asarray(program(fn)(key, batch))


def test_two_crops_are_floats_in_range_and_differ(batch):
    out = views_of(CROPS, batch)
    assert out.shape == (16, 2, 12, 12, 3)
    assert out.dtype == np.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert (np.abs(out[:, 0] - out[:, 1]).max((1, 2, 3)) > 0.05).all()


def test_two_crops_never_see_the_empty_part_of_the_canvas(batch):
    other = dict(batch, image=batch["image"].copy())
    for image, (height, width) in zip(other["image"], batch["size"], strict=True):
        image[height:], image[:, width:] = 255, 255
    np.testing.assert_array_equal(views_of(CROPS, batch), views_of(CROPS, other))


def test_two_crops_compose_in_the_papers_order(rng):
    """Everything certain and nothing random: crop, mirror, gray, blur, solarize."""
    fn = two_crops(
        size=12,
        min_scale=1.0,
        min_ratio=1.0,
        max_ratio=1.0,
        flip=1.0,
        strength=0.0,
        gray_probability=1.0,
        blur_probability=1.0,
        blur_kernel_share=0.4,
        min_sigma=0.7,
        max_sigma=0.7,
        solarize_probability=1.0,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.25, 0.5),
    )
    image = reference.picture(rng, 16, 16)
    x = reference.crop_and_resize(image, (0, 0, 16, 16), 12, 12, "bicubic") / 255
    x = np.clip(x, 0, 1)[:, ::-1]
    x = reference.luma(x)[..., None].repeat(3, -1)
    x = reference.gaussian_blur(x, 0.7, 5)
    x = np.where(x < 0.5, x, 1 - x)
    expected = (x - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.5]
    got = jax.jit(fn)(KEY, {"image": image})
    np.testing.assert_allclose(got, [expected, expected], atol=2e-4)


def test_strength_zero_leaves_colours_alone(batch):
    plain = {"gray_probability": 0.0, "blur_probability": 0.0, "size": 12}
    a = views_of(two_crops(strength=0.0, **plain), batch)
    np.testing.assert_array_equal(
        a, views_of(two_crops(jitter_probability=1e-9, **plain), batch)
    )
    jittered = views_of(two_crops(jitter_probability=0.5, **plain), batch)
    same = (np.abs(jittered - a).max((2, 3, 4)) == 0).mean()
    assert 0.25 < same < 0.75  # The crops are the same; half the colours are not.


def test_the_key_decides(batch):
    a, b = views_of(CROPS, batch), views_of(CROPS, batch, jax.random.key(8))
    np.testing.assert_array_equal(a, views_of(CROPS, batch))
    assert (np.abs(a - b).max((2, 3, 4)) > 0).all()


RECIPES = {
    "two_crops": CROPS,
    "two_affine": two_affine(noise=0.1),
    "center_crop": center_crop(size=8, resize=10),
}


@pytest.mark.parametrize("name", RECIPES)
def test_pixels_do_not_depend_on_the_device_count(batch, name):
    if name == "two_affine":
        batch = without_size(batch)
    expected = views_of(RECIPES[name], batch)
    for count in (8,) if name == "two_affine" else (2, 8):
        mesh = make_mesh(devices=jax.devices()[:count])
        with jax.set_mesh(mesh):
            rows = jax.device_put(batch, row_sharding(mesh))
            np.testing.assert_array_equal(views_of(RECIPES[name], rows), expected)


def test_mapped_views_hold_no_gather_and_no_collective(batch):
    mesh = make_mesh()
    with jax.set_mesh(mesh):
        rows = jax.device_put(batch, row_sharding(mesh))
        lowered = program(CROPS).lower(KEY, rows)
    text = lowered.compile().as_text()
    found = re.findall(
        r"\b((?:all-|dynamic-)?gather|all-reduce|all-to-all|collective-permute)"
        r"(?:-start)?\(",
        text,
    )
    assert not found
    assert not re.search(r"stablehlo\.\w*gather", lowered.as_text())


def test_two_affine_distorts_digits(rng):
    image = reference.picture(rng, 8, 8, channels=1)
    out = np.asarray(jax.jit(two_affine())(KEY, {"image": image}))
    assert out.shape == (2, 8, 8, 1)
    assert out.dtype == np.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert np.abs(out[0] - out[1]).max() > 0.05


def test_neutral_two_affine_is_the_image(rng):
    image = reference.picture(rng, 8, 8, channels=1)
    fn = two_affine(degrees=0.0, translate=0.0, min_scale=1.0, max_scale=1.0, shear=0.0)
    whole = identity()(KEY, {"image": image})
    views = jax.jit(fn)(KEY, {"image": image})
    np.testing.assert_array_equal(views, [whole, whole])


def test_noise_has_its_standard_deviation():
    image = jnp.full((64, 64, 1), 0.5)
    out = jax.jit(two_affine(noise=0.05, border="edge"))(KEY, {"image": image})
    assert float(out.std()) == pytest.approx(0.05, rel=0.05)
    assert np.abs(np.asarray(out[0] - out[1])).max() > 0.1


def test_evaluation_views_ignore_the_key(batch):
    for fn, rows in ((center_crop(size=8), batch), (identity(), without_size(batch))):
        a, b = (views_of(fn, rows, jax.random.key(i)) for i in (0, 1))
        np.testing.assert_array_equal(a, b)


def test_identity_is_the_image_over_255(batch):
    out = views_of(identity(), without_size(batch))
    np.testing.assert_allclose(out, batch["image"] / 255, atol=1e-7)
    out = views_of(identity(mean=(0.5,), std=(0.25,)), without_size(batch))
    np.testing.assert_allclose(out, batch["image"] / 63.75 - 2, atol=1e-6)


def test_center_crop_at_the_own_size_is_the_identity(batch):
    rows = without_size(batch)
    np.testing.assert_allclose(
        views_of(center_crop(size=16), rows), views_of(identity(), rows), atol=1e-6
    )


def test_one_channel_passes_where_no_colour_is_touched(rng):
    image = reference.picture(rng, 16, 16, channels=1)
    fn = two_crops(size=8, strength=0.0, gray_probability=0.0)
    assert jax.eval_shape(fn, KEY, {"image": image}).shape == (2, 8, 8, 1)
    with pytest.raises(ValueError, match=r"1 channel.*strength=0 and gray_prob"):
        two_crops(size=8)(KEY, {"image": image})
    many = np.repeat(image, 5, -1)
    assert jax.eval_shape(fn, KEY, {"image": many}).shape == (2, 8, 8, 5)
    with pytest.raises(ValueError, match=r"5 channel.*strength=0 and gray_prob"):
        two_crops(size=8)(KEY, {"image": many})
    with pytest.raises(ValueError, match=r"field 'image' .* have \['wave'\]"):
        fn(KEY, {"wave": image})


@pytest.mark.parametrize(
    ("factory", "settings", "message"),
    [
        (two_crops, {"flip": 1.5}, r"flip = 1.5 must be in \[0, 1\]"),
        (two_crops, {"min_scale": 0.5, "max_scale": 0.3}, "must be at most max_scale"),
        (two_crops, {"max_scale": 1.2}, r"max_scale = 1.2 must be in \(0, 1\]"),
        (two_crops, {"min_scale": float("nan")}, "min_scale = nan must be in"),
        (two_crops, {"min_ratio": 0.0}, "min_ratio = 0.0 must be positive"),
        (two_crops, {"min_ratio": 2.0}, "min_ratio = 2.0 must be at most max_ratio"),
        (two_crops, {"interpolation": "nearest"}, "'nearest' must be one of"),
        (two_crops, {"sampling": "tf"}, "'tf' must be one of 'torchvision'"),
        (two_crops, {"brightness": "gamma"}, "'gamma' must be one of"),
        (two_crops, {"blur_kernel": "box"}, "'box' must be one of 'sampled'"),
        (two_crops, {"blur_probability": -0.1}, "^blur probability = -0.1 must"),
        (two_crops, {"gray_probability": 1.1}, "^grayscale probability = 1.1 "),
        (
            two_crops,
            {"blur_probability": (0.1, 0.2, 0.3)},
            "has 3 numbers for num_views = 2",
        ),
        (two_crops, {"strength": -1.0}, "strength = -1.0 must be at least 0"),
        (two_crops, {"strength": 3.0}, r"half a turn.* up to 2.5"),
        (two_crops, {"jitter": (0.8, 0.8, 0.8)}, "jitter = .* four amounts"),
        (two_crops, {"jitter": (0.8, 0.8, -0.8, 0.1)}, "jitter = .* at least 0"),
        (two_crops, {"min_sigma": 3.0}, "min_sigma = 3.0 must be at most max_sigma"),
        (two_crops, {"blur_kernel_share": 2.0}, "blur_kernel_share = 2.0 must be in"),
        (two_crops, {"mean": (0.5,)}, "give both or neither"),
        (two_crops, {"mean": (0.5,), "std": (0.0,)}, "must be positive"),
        (two_crops, {"mean": (0.5,), "std": (0.1, 0.1)}, "differ in length"),
        (two_crops, {"size": 0}, "size = 0 must be at least 1"),
        (two_crops, {"num_views": 0}, "num_views = 0 must be at least 1"),
        (two_crops, {"rand_augment_magnitude": 11.0}, "magnitude = 11.0 must be in"),
        (two_affine, {"degrees": -1.0}, "degrees = -1.0"),
        (two_affine, {"min_scale": 2.0}, "min_scale = 2.0 must be at most max_scale"),
        (two_affine, {"shear": 90.0}, r"shear = 90.0 must be in \[0, 90\)"),
        (two_affine, {"border": "wrap"}, "border = 'wrap' must be one of"),
        (center_crop, {"size": 9, "resize": 8}, "size = 9 must be at most resize = 8"),
        (identity, {"std": (1.0,)}, "give both or neither"),
    ],
)
def test_wrong_settings_are_refused_at_once(factory, settings, message):
    with pytest.raises(ValueError, match=message):
        factory(**settings)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 8, 8, 3), np.uint8), r"one field 'image' .*shape \(4, 8, 8, 3\)"),
        (np.zeros((8, 8, 3), np.int32), "int32; give uint8"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        identity()(KEY, {"image": image})


def test_recipes_that_show_all_refuse_a_canvas(batch):
    example = jax.tree.map(lambda x: x[0], batch)
    for fn in (identity(), two_affine()):
        with pytest.raises(ValueError, match="use center_crop or two_crops"):
            fn(KEY, example)


def test_wrong_number_of_channels_is_refused(rng):
    image = reference.picture(rng, 8, 8)
    with pytest.raises(ValueError, match="has 2 channels, the images 3"):
        identity(mean=(0.5, 0.5), std=(1.0, 1.0))(KEY, {"image": image})


def test_every_recipe_is_in_the_table_with_annotated_settings():
    general = {"random_crops", "two_crops", "two_affine", "center_crop", "identity"}
    assert general < set(VIEWS)
    for factory in VIEWS.values():
        wires, settings = schema(factory)
        assert set(wires) <= {"fields"}  # What a source holds is no setting.
        for parameter in settings.values():
            assert parameter.annotation is not parameter.empty


def test_one_view_has_no_axis_and_carries_what_it_is_told(batch):
    plain = {"size": 12, "strength": 0.0, "gray_probability": 0.0}
    alone = views_of(random_crops(num_views=None, **plain), batch)
    assert alone.shape == (16, 12, 12, 3)
    fn = random_crops(num_views=3, carried=("index",), **plain)
    made = jax.jit(lambda k, b: map_examples(fn, k, b))(KEY, batch)
    assert made["image"].shape == (16, 3, 12, 12, 3)
    np.testing.assert_array_equal(made["index"], batch["index"])


def test_gray_first_changes_the_order_alone():
    settings = {"size": 8, "blur_probability": 0.0}
    last, first = (
        random_crops(gray_first=gray_first, **settings).parts()[""][0].steps
        for gray_first in (False, True)
    )
    assert [step.name for step in last] == ["color jitter", "grayscale"]
    assert first == last[::-1]
