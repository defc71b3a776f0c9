"""Random erasing and cutout: the law of their boxes, and the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import erase
from jax_ssl.ops.resize import Box, box_mask
from tests import laws
from tests.judges import judge
from tests.references import pixels as reference

DRAWS = 12_000
TORCHVISION = {"scale": (0.02, 0.33), "ratio": (0.3, 3.3)}
TIMM = {"scale": (0.02, 1 / 3), "ratio": (0.3, 1 / 0.3)}


def drawn(height, width, **settings):
    keys = jax.random.split(jax.random.key(6), DRAWS)

    step = erase.RandomErasing(probability=1.0, **settings)

    def one(key):
        return jnp.stack(step.draw(key, height, width))

    return np.asarray(jax.jit(jax.vmap(one))(keys), np.float64)


def expected_boxes(height, width, scale, ratio, count=4000):
    rng = np.random.default_rng(8)
    return np.array(
        [reference.erased_box(rng, height, width, scale, ratio) for _ in range(count)],
        np.float64,
    )


def check_boxes(ours, theirs, height, width):
    """Area, aspect and place follow one law."""

    def measures(boxes):
        top, left, h, w = boxes.T
        aspect = np.log(np.maximum(h, 0.5) / np.maximum(w, 0.5))
        return h * w, aspect, top, left, top - (height - h - top)

    for a, b in zip(measures(ours), measures(theirs), strict=True):
        laws.follows_the_same(a, b)


@pytest.mark.parametrize("settings", [TORCHVISION, TIMM])
@pytest.mark.parametrize(("height", "width"), [(224, 224), (40, 17)])
def test_boxes_follow_the_law(settings, height, width):
    ours = drawn(height, width, **settings)
    check_boxes(ours, expected_boxes(height, width, **settings), height, width)


def test_boxes_that_never_fit_erase_nothing():
    boxes = drawn(32, 8, scale=(0.9, 1.0), ratio=(1.0, 1.1))
    np.testing.assert_array_equal(boxes[:, 2:], 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": (0.02, 0.36)},
        {"scale": (0.04, 0.33)},
        {"ratio": (0.3, 1.0)},
        {"ratio": (1 / 4.5, 4.5)},
    ],
)
def test_a_wrong_law_would_be_seen(wrong):
    ours = drawn(224, 224, **{**TORCHVISION, **wrong})
    with pytest.raises(AssertionError):
        check_boxes(ours, expected_boxes(224, 224, **TORCHVISION), 224, 224)


def test_the_reference_is_torchvisions():
    transforms = judge("torchvision.transforms")
    import torch

    torch.manual_seed(3)
    torch.set_num_threads(1)
    image = torch.zeros(3, 60, 48)
    theirs = [
        transforms.RandomErasing.get_params(image, **TORCHVISION, value=[0.0])[:4]
        for _ in range(1500)
    ]
    whole = (0, 0, 60, 48)  # How it says that nothing fitted.
    theirs = np.array([(0, 0, 0, 0) if box == whole else box for box in theirs], float)
    check_boxes(theirs, expected_boxes(60, 48, **TORCHVISION), 60, 48)
    check_boxes(drawn(60, 48, **TORCHVISION), theirs, 60, 48)


def test_erasing_comes_with_its_probability_and_stays_in_its_box():
    image = jnp.ones((12, 10, 3))
    keys = jax.random.split(jax.random.key(1), 4000)
    step = erase.RandomErasing(probability=0.25, fill=0.0, **TORCHVISION)
    many = jax.jit(jax.vmap(step, (0, None)))
    erased = np.asarray(many(keys, image))[..., 0] == 0
    some = erased.any((1, 2))
    laws.has_probability(some, 0.25)
    rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
    np.testing.assert_array_equal(erased.sum((1, 2)), rows * columns)  # A box.
    share = erased[some].mean((1, 2))
    assert 0.008 < share.min() < 0.05
    assert 0.28 < share.max() < 0.4


def test_mask_of_a_box():
    mask = np.asarray(box_mask(Box(1.0, 2.0, 2.0, 3.0), 4, 6))
    expected = np.zeros((4, 6), bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_noise_is_standard_normal_in_every_value():
    image = jnp.full((64, 64, 3), 7.0)
    erased = jax.jit(erase.RandomErasing(probability=1.0, scale=(0.3, 0.33)))
    out = np.asarray(erased(jax.random.key(2), image))
    values = out[out != 7.0]
    assert values.size > 0.25 * out.size
    assert values.mean() == pytest.approx(0, abs=0.06)
    assert values.std() == pytest.approx(1, abs=0.05)
    assert np.unique(values).size > 0.99 * values.size


def test_cutout_has_its_centre_anywhere():
    """Every pixel is as likely a centre; squares are cut off at the borders."""
    image = jnp.ones((9, 7, 1))
    keys = jax.random.split(jax.random.key(4), DRAWS)
    many = jax.jit(jax.vmap(lambda key: erase.cutout(key, image, size=3)))
    gone = np.asarray(many(keys))[..., 0] == 0
    assert set(gone.sum((1, 2))) == {4, 6, 9}
    row = np.arange(9)[None, :, None] * gone
    top, bottom = np.where(gone, row, 9).min((1, 2)), row.max((1, 2))
    centre = np.where(top == 0, bottom - 1, top + 1)
    laws.is_spread_evenly(centre, 9)
