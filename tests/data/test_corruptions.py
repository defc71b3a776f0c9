"""Corruptions beside the authors' program, and what each must do to an image."""

import numpy as np
import pytest

from jax_ssl.data.corruption_kinds import KINDS, SEVERITIES, corrupt
from jax_ssl.data.corruptions import disk, glass_blur, impulse_noise, moved
from jax_ssl.data.plasma import plasma


def waves(side=224):
    """A smooth image in [0, 255] with a fine pattern."""
    i, j, c = np.meshgrid(*map(np.arange, (side, side, 3)), indexing="ij")
    x = 128 + 60 * np.sin(i / 9 + c) + 50 * np.cos(j / (5 + c)) + 15 * ((i * j) % 3)
    return x.clip(0, 255).astype(np.uint8)


# hendrycks/robustness, ImageNet-C/create_c/make_imagenet_c.py, after np.random.seed(3):
# severity, the mean of all numbers, and those of the pixel in row 100, column 57.
OFFICIAL = {
    "gaussian_noise": (4, 135.9253, (99.797, 0.000, 144.555)),
    "shot_noise": (4, 128.8986, (0.000, 102.000, 102.000)),
    "defocus_blur": (4, 139.2712, (98.929, 75.166, 155.607)),
    "zoom_blur": (4, 134.4413, (116.448, 89.006, 134.912)),
    "fog": (4, 136.4334, (112.502, 101.930, 128.502)),
    "brightness": (4, 187.2381, (150.333, 87.125, 246.000)),
    "contrast": (4, 137.5238, (133.316, 127.955, 138.343)),
    "elastic_transform": (3, 138.8134, (61.138, 41.042, 146.697)),
    "pixelate": (4, 137.6292, (110.000, 74.000, 157.000)),
}


@pytest.mark.parametrize("kind", OFFICIAL)
def test_it_is_that_of_the_official_program(kind):
    severity, mean, pixel = OFFICIAL[kind]
    own = KINDS[kind]
    # The same generator, so that it draws the same numbers in the same order.
    draws = np.random.RandomState(3)
    found = own.apply(waves() / 255, own.imagenet[severity - 1], draws)
    found = 255 * np.clip(found, 0, 1)
    assert found.mean() == pytest.approx(mean, abs=1e-3)
    np.testing.assert_allclose(found[100, 57], pixel, atol=5e-3)


# The package imagecorruptions 1.1.2 in the same way; of snow it rounds after the blur.
PACKAGE = {
    "motion_blur": (138.7113, (101.859, 111.960, 144.271), 5e-3),
    "snow": (217.7486, (185.974, 161.924, 222.374), 1.0),
}


@pytest.mark.parametrize("kind", PACKAGE)
def test_what_moves_is_that_of_another_program(kind):
    mean, pixel, atol = PACKAGE[kind]
    own, draws = KINDS[kind], np.random.RandomState(3)
    found = 255 * np.clip(own.apply(waves() / 255, own.imagenet[3], draws), 0, 1)
    assert found.mean() == pytest.approx(mean, abs=max(0.2 * atol, 1e-3))
    np.testing.assert_allclose(found[100, 57], pixel, atol=atol)


def test_impulses_are_so_many_and_half_of_them_are_white(rng):
    found = impulse_noise(np.full((200, 200, 3), 0.5), 0.2, rng)
    shares = [(found == value).mean() for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.1, 0.8, 0.1], abs=0.005)


def test_a_camera_that_moves_right_smears_half_a_gaussian():
    image = np.zeros((1, 41, 1))
    image[0, 20] = 1
    found = moved(image, 5, 2.0, 0.0)[0, :, 0]
    weights = np.exp(-(np.arange(11) ** 2) / 8)
    expected = np.zeros(41)
    expected[20 - np.arange(11)] = weights / weights.sum()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    down = moved(image.transpose(1, 0, 2), 5, 2.0, 90.0)[:, 0, 0]
    np.testing.assert_allclose(down, expected, atol=1e-12)


def test_glass_takes_pixels_from_near_by_alone(rng):
    image = np.zeros((32, 32, 3))
    image[:, :, 0] = np.arange(32)[:, None] / 255
    image[:, :, 1] = np.arange(32) / 255
    found = np.round(255 * glass_blur(image, (0.0, 2, 1), rng)[..., :2])
    rows, columns = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    apart = np.abs(found - np.stack([rows, columns], axis=-1))
    assert apart.max() >= 2
    # A pixel may have been passed on, but never far.
    assert apart.mean() < 3
    np.testing.assert_array_equal(found[:3, :, 0], rows[:3])


def test_height_fields_have_every_power_of_two_and_fill_the_unit_interval(rng):
    for side, size in ((2, 2), (3, 4), (32, 32), (33, 64), (224, 256)):
        field = plasma(side, 2.0, rng)
        assert field.shape == (size, size)
        assert (field.min(), field.max()) == (0, 1)
    rough, even = (np.abs(np.diff(plasma(64, d, rng))).mean() for d in (1.2, 3.0))
    assert rough > 2 * even
    assert disk(3, 0.1).sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_severity_harms_and_the_same_draws_give_the_same(kind):
    image = waves(32)
    errors = []
    for severity in (1, 5):
        found = corrupt(image, kind, severity, np.random.default_rng(0))
        again = corrupt(image, kind, severity, np.random.default_rng(0))
        np.testing.assert_array_equal(found, again)
        assert (found.shape, found.dtype) == (image.shape, np.uint8)
        errors.append(np.square(found.astype(float) - image).mean())
    # CIFAR-10-C's least elastic transform moves the corners of an image the farthest.
    assert errors[1] > errors[0] or kind == "elastic_transform"


def test_another_kind_or_severity_is_refused(rng):
    with pytest.raises(ValueError, match="kind = 'rain' must be one of 'gaussian_noi"):
        corrupt(waves(32), "rain", 1, rng)
    with pytest.raises(ValueError, match="severity = 6 must be one of 1, 2"):
        corrupt(waves(32), "fog", 6, rng)
    assert len(KINDS) == 15
    assert {len(own.imagenet) for own in KINDS.values()} == {len(SEVERITIES)}
    groups = [own.group for own in KINDS.values()]
    assert [groups.count(g) for g in ("noise", "blur", "weather", "digital")] == [
        *(3, 4, 4, 4)
    ]
