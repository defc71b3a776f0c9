"""Random and central crops: the law of their boxes, and the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2_contingency, ks_2samp

from jax_ssl.augment import crop
from tests.references import views as reference

DRAWS = 20_000
SAMPLERS = {
    "torchvision": reference.torchvision_box,
    "clipped": reference.clipped_box,
}
RATIO = (3 / 4, 4 / 3)


def drawn(height, width, sampling, scale=(0.08, 1.0), ratio=RATIO, seed=0):
    """[DRAWS, 4] boxes, with traced sides as on a canvas."""
    (low, high), (narrow, wide) = scale, ratio
    step = crop.RandomCrop(
        min_scale=low,
        max_scale=high,
        min_ratio=narrow,
        max_ratio=wide,
        sampling=sampling,
    )
    keys = jax.random.split(jax.random.key(seed), DRAWS)
    many = jax.jit(jax.vmap(step.draw, (0, None, None)))
    return np.stack(many(keys, jnp.int32(height), jnp.int32(width)), axis=1)


def measures(boxes, height, width):
    top, left, h, w = np.asarray(boxes, np.float64).T
    return {
        "area": h * w / (height * width),
        "log ratio": np.log(w / h),
        "top": top,
        "left": left,
        "vertical slack": top - (height - h - top),
        "fraction": np.abs(top - np.round(top)) + np.abs(left - np.round(left)),
        "height": h,
        "width": w,
    }


def pvalues(ours, theirs, height, width):
    """Kolmogorov-Smirnov by measure, and chi-square of the place on a 6 x 6 grid."""
    a, b = measures(ours, height, width), measures(theirs, height, width)
    found = {name: ks_2samp(a[name], b[name]).pvalue for name in a}
    edges = [np.linspace(0, side, 7) for side in (height, width)]
    tables = [
        np.histogram2d(m["top"] + m["height"] / 2, m["left"] + m["width"] / 2, edges)[0]
        for m in (a, b)
    ]
    seen = np.stack([table.ravel() for table in tables])
    seen = seen[:, seen.sum(0) >= 20]
    return found | {"centre": chi2_contingency(seen).pvalue}


@pytest.mark.parametrize("sampling", SAMPLERS)
@pytest.mark.parametrize(("height", "width"), [(224, 224), (60, 100), (90, 30)])
def test_boxes_follow_the_samplers_law(sampling, height, width):
    rng = np.random.default_rng(1)
    boxes = drawn(height, width, sampling)
    expected = [
        SAMPLERS[sampling](rng, height, width, (0.08, 1.0), RATIO) for _ in range(4000)
    ]
    for name, pvalue in pvalues(boxes, expected, height, width).items():
        assert pvalue > 1e-3, name


def shifted(boxes, by):
    """The boxes moved down and right, as far as the image of 96 x 100 allows."""
    top, left, h, w = np.asarray(boxes, np.float64).T
    moved = np.minimum(top + by, 96 - h), np.minimum(left + by, 100 - w)
    return np.stack([*moved, h, w], axis=1)


@pytest.mark.parametrize(
    ("settings", "shift", "measure"),
    [
        ({"scale": (0.12, 1.0)}, 0, "area"),
        ({"scale": (0.08, 0.9)}, 0, "area"),
        ({"ratio": (0.8, 1.25)}, 0, "log ratio"),
        ({"ratio": (1.0, 16 / 9)}, 0, "log ratio"),
        ({}, 0.5, "fraction"),
        ({}, 3, "vertical slack"),
    ],
)
def test_a_wrong_crop_would_be_seen(settings, shift, measure):
    """The test above, given a sampler that is wrong in one number."""
    rng = np.random.default_rng(1)
    boxes = shifted(drawn(96, 100, "torchvision", **settings), shift)
    law = reference.torchvision_box
    expected = [law(rng, 96, 100, (0.08, 1.0), RATIO) for _ in range(4000)]
    assert pvalues(boxes, expected, 96, 100)[measure] < 1e-3


def test_boxes_are_torchvisions_own():
    transforms = pytest.importorskip("torchvision.transforms", exc_type=Exception)
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    image = Image.new("RGB", (100, 60))
    crops = transforms.RandomResizedCrop(8)
    theirs = [
        crops.get_params(image, list(crops.scale), list(crops.ratio))
        for _ in range(4000)
    ]
    found = pvalues(drawn(60, 100, "torchvision"), theirs, 60, 100)
    for name, pvalue in found.items():
        assert pvalue > 1e-3, name


def test_the_two_samplings_are_told_apart():
    a, b = (measures(drawn(224, 224, s), 224, 224) for s in ("torchvision", "clipped"))
    assert ks_2samp(a["area"][:4000], b["area"][:4000]).pvalue < 1e-6


@pytest.mark.parametrize("sampling", SAMPLERS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (7, 50), (1, 1)])
def test_boxes_are_whole_and_inside(sampling, height, width):
    boxes = drawn(height, width, sampling)
    np.testing.assert_array_equal(boxes, np.round(boxes))
    top, left, h, w = boxes.T
    assert min(h.min(), w.min()) >= 1
    assert min(top.min(), left.min()) >= 0
    assert (top + h).max() <= height
    assert (left + w).max() <= width


@pytest.mark.parametrize(("height", "width"), [(20, 100), (100, 20)])
def test_boxes_that_never_fit_become_central(height, width):
    scale = (0.9, 1.0)  # No allowed ratio reaches 90 % of the area.
    rng = np.random.default_rng(0)
    expected = reference.torchvision_box(rng, height, width, scale, RATIO)
    boxes = drawn(height, width, "torchvision", scale)
    np.testing.assert_array_equal(boxes, np.tile(expected, (DRAWS, 1)))


def test_every_place_is_as_likely():
    boxes = drawn(8, 8, "torchvision", (0.25, 0.25), (1.0, 1.0))
    np.testing.assert_array_equal(boxes[:, 2:], 4)
    counts = np.bincount((boxes[:, 0] * 5 + boxes[:, 1]).astype(int), minlength=25)
    share = DRAWS / 25
    assert ((counts - share) ** 2 / share).sum() < 60  # 24 degrees of freedom, 7e-5.


def test_random_resized_crop_is_its_box(rng):
    image = reference.picture(rng, 24, 24)
    extent = jnp.array([20, 15])
    step = crop.RandomCrop(size=8, flip=0.0)

    @jax.jit
    def both(key):
        box = jnp.stack(step.draw(jax.random.split(key)[0], 20, 15))
        return box, step(key, jnp.asarray(image), extent)

    for seed in range(4):
        box, got = both(jax.random.key(seed))
        box = np.asarray(box, int)
        expected = reference.crop_and_resize(image, box, 8, 8, "bicubic")
        np.testing.assert_allclose(got, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("height", "width", "size", "resize"),
    [(40, 40, 40, 40), (30, 40, 16, 20), (40, 27, 14, 16), (13, 17, 20, 24)],
)
def test_center_crop_is_pillows_resize_then_cut(rng, height, width, size, resize):
    canvas = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    image = reference.picture(rng, height, width, low=60, high=200)
    canvas[:height, :width] = image
    got = jax.jit(
        lambda image, extent: crop.resized_center_crop(
            image, size, resize, extent=extent
        )
    )(canvas, jnp.array([height, width]))
    short = min(height, width)
    new_h, new_w = height * resize // short, width * resize // short
    resized = Image.fromarray(image).resize((new_w, new_h), Image.Resampling.BICUBIC)
    top, left = round((new_h - size) / 2), round((new_w - size) / 2)
    expected = np.asarray(resized, int)[top : top + size, left : left + size]
    assert np.abs(np.round(got) - expected).max() <= 1


def test_impossible_crops_are_refused():
    with pytest.raises(ValueError, match="size = 9 must be at most resize = 8"):
        crop.resized_center_crop(jnp.zeros((16, 16, 3)), 9, 8)
    with pytest.raises(ValueError, match="'tf'"):
        crop.RandomCrop(sampling="tf")
