"""Colour operations, against Pillow, colorsys and float64 formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jax_ssl.ops import color
from tests.references import views as reference


@pytest.fixture
def image(rng):
    """[12, 10, 3] float32 of whole grey levels, with greys, primaries, black, white."""
    levels = reference.picture(rng, 12, 10)
    levels[0, :5] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    levels[1, :4] = [[255, 255, 0], [0, 255, 255], [255, 0, 255], [90, 90, 90]]
    return levels.astype(np.float32) / 255


hue = jax.jit(color.hue)


def pillow(image):
    return Image.fromarray(np.round(image * 255).astype(np.uint8))


def levels(image):
    return 255 * np.asarray(image, np.float64)


FACTORS = [0.0, 0.2, 0.7, 1.0, 1.3, 1.8]
ENHANCERS = {
    # Name: (Pillow's judge, levels that truncation and rounding may cost).
    "brightness": (ImageEnhance.Brightness, 1.01),
    "contrast": (ImageEnhance.Contrast, 1.6),
    "saturation": (ImageEnhance.Color, 1.6),
}


@pytest.mark.parametrize("name", ENHANCERS)
def test_enhancement_is_pillows_to_rounding(image, name):
    enhancer, tolerance = ENHANCERS[name]
    for factor in FACTORS:
        expected = np.asarray(enhancer(pillow(image)).enhance(factor), np.float64)
        got = levels(getattr(color, name)(image, factor))
        assert np.abs(got - expected).max() < tolerance


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_enhancement_is_the_reference(image, name):
    for factor in FACTORS:
        expected = getattr(reference, name)(image.astype(np.float64), factor)
        np.testing.assert_allclose(
            getattr(color, name)(image, factor), expected, atol=2e-6
        )


def test_additive_brightness_moves_every_value_alike(image):
    np.testing.assert_allclose(
        color.brightness(image, 1.0, -0.3), np.clip(image - 0.3, 0, 1), atol=1e-7
    )


def test_grayscale_is_pillows_l_mode(image):
    expected = np.asarray(pillow(image).convert("L"), np.float64)
    got = levels(color.grayscale(image))
    assert np.abs(got - expected[..., None]).max() < 0.51
    np.testing.assert_allclose(color.grayscale(np.ones((1, 1, 3))), 1, atol=1e-7)


@pytest.mark.parametrize("shift", [-0.5, -0.31, -0.1, 0.04, 0.2, 0.5])
def test_hue_is_colorsys(image, shift):
    expected = reference.hue(image, shift)
    np.testing.assert_allclose(hue(image, shift), expected, atol=2e-6)
    if abs(shift) < 0.5:  # The other direction is another picture.
        assert np.abs(reference.hue(image, -shift) - expected).max() > 0.1


@pytest.mark.parametrize("turns", [-40, 25, 90])
def test_hue_turns_like_pillows_hsv(image, turns):
    hsv = np.array(pillow(image).convert("HSV"))
    hsv[..., 0] += np.uint8(turns % 256)  # In 256ths, wrapping around.
    expected = Image.fromarray(hsv, "HSV").convert("RGB")
    difference = levels(hue(image, turns / 256)) - np.asarray(expected)
    assert np.abs(difference).mean() < 2.5  # Pillow keeps hue in 8 bits.


def test_red_becomes_green_by_a_third_of_a_turn():
    red = np.array([[[1.0, 0.0, 0.0]]], np.float32)
    np.testing.assert_allclose(hue(red, 1 / 3)[0, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(hue(red, -1 / 3)[0, 0], [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("shift", [1.0, -1.0, 3.0])
def test_whole_turns_of_the_hue_change_nothing(image, shift):
    np.testing.assert_allclose(hue(image, shift), image, atol=2e-6)


def test_identities_are_exact(image):
    zero = jnp.zeros(())
    for same in (
        hue(image, zero),
        jax.jit(color.blend)(image, zero + 1, zero, zero, zero),
        color.brightness(image, 1.0),
        color.saturation(image, 1.0),
    ):
        np.testing.assert_array_equal(same, image)


def test_hue_keeps_grays_and_value(image):
    turned = np.asarray(hue(image, 0.37))
    np.testing.assert_allclose(turned.max(-1), image.max(-1), atol=1e-6)
    np.testing.assert_allclose(turned.min(-1), image.min(-1), atol=1e-6)
    gray = image[..., :1].repeat(3, -1)
    np.testing.assert_array_equal(hue(gray, 0.37), gray)


def test_solarize_is_pillows(image):
    expected = np.asarray(ImageOps.solarize(pillow(image), 128), np.float64)
    np.testing.assert_allclose(levels(color.solarize(image)), expected, atol=1e-4)


def test_every_operation_stays_in_range(image):
    for factor in (0.0, 2.5):
        for name in ("brightness", "contrast", "saturation"):
            out = np.asarray(getattr(color, name)(image, factor))
            assert out.min() >= 0
            assert out.max() <= 1
