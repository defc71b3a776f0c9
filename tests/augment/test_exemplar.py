"""Exemplar-CNN's transformations beside colorsys, SciPy and float64 loops."""

import colorsys

import jax
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from jax_ssl.augment import VIEWS
from jax_ssl.augment.exemplar import (
    ComponentContrast,
    HueShift,
    MovedPatch,
    SaturationValue,
)
from jax_ssl.ops import color
from tests import laws
from tests.references import views as reference

KEY = jax.random.key(5)
DRAWS = 24_000
STILL = {"translate": 0.0, "min_scale": 1.0, "max_scale": 1.0, "degrees": 0.0}
PLAIN = {"mean": None, "std": None, "carried": ()}


@pytest.fixture
def image(rng):
    """Colours of all kinds, and black, white, grey and pure ones among them."""
    pixels = rng.uniform(size=(6, 6, 3))
    pixels[0, :5] = [[0, 0, 0], [1, 1, 1], [0.4, 0.4, 0.4], [1, 0, 0], [0, 0.2, 0.2]]
    return pixels.astype(np.float32)


def drawn(step):
    keys = jax.random.split(KEY, DRAWS)
    return np.asarray(jax.jit(jax.vmap(step.draw))(keys))


@pytest.mark.parametrize(
    "curves",
    [
        [(1.0, 1.0, 0.0), (1.0, 1.0, 0.0)],
        [(0.25, 1.4, -0.1), (4.0, 0.7, 0.1)],
        [(3.0, 0.7, 0.1), (0.5, 1.4, 0.05)],
    ],
)
def test_saturation_and_value_are_those_of_colorsys(image, curves):
    found = jax.jit(color.saturation_value)(image, *np.array(curves, np.float32))
    wanted = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        h, *rest = colorsys.rgb_to_hsv(*image[place].astype(np.float64))
        moved = (f * x**p + o for x, (p, f, o) in zip(rest, curves, strict=True))
        wanted[place] = colorsys.hsv_to_rgb(h, *np.clip([*moved], 0, 1))
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_hue_turns_as_in_colorsys(image):
    shift = jax.jit(jax.vmap(HueShift(amount=0.1), (0, None)))
    found = np.asarray(shift(jax.random.split(KEY, 20), image))[:, 3, 3]
    h, s, v = colorsys.rgb_to_hsv(*image[3, 3].astype(np.float64))
    turned = [colorsys.rgb_to_hsv(*pixel)[0] - h for pixel in found.astype(np.float64)]
    turned = (np.array(turned) + 0.5) % 1 - 0.5
    assert np.abs(turned).max() < 0.1 + 1e-5
    assert turned.min() < -0.02
    assert turned.max() > 0.02
    for pixel, shift in zip(found, turned, strict=True):
        wanted = colorsys.hsv_to_rgb((h + shift) % 1, s, v)
        np.testing.assert_allclose(pixel, wanted, atol=1e-5)


def test_contrast_multiplies_the_coordinates_along_the_components(rng, image):
    pixels = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))
    rows = np.linalg.eigh(np.cov(pixels.T))[1].T[::-1]
    center = np.array([0.5, 0.4, 0.45])
    step = ComponentContrast(
        components=rows.tolist(), center=center.tolist(), factor=(0.8, 1.25)
    )
    factors = np.asarray(step.draw(KEY), np.float64)
    # To the coordinates of the components and back, as a change of basis.
    coordinates = np.linalg.solve(rows.T, (image.reshape(-1, 3) - center).T)
    wanted = (rows.T @ (factors[:, None] * coordinates)).T + center
    wanted = np.clip(wanted, 0, 1).reshape(image.shape)
    np.testing.assert_allclose(
        jax.jit(lambda *given: step(*given))(KEY, image), wanted, atol=2e-6
    )


def test_factors_and_powers_follow_their_laws():
    factors = np.log(drawn(ComponentContrast()))
    curves = drawn(SaturationValue())  # [draws, 2, 3]
    values = [*factors.T, *np.log(curves[..., :2]).reshape(DRAWS, 4).T]
    values += [*curves[..., 2].T]
    powers, gains = np.log([0.25, 4.0]), np.log([0.7, 1.4])
    ranges = [np.log([0.5, 2.0])] * 3 + [powers, gains] * 2 + [(-0.1, 0.1)] * 2
    for value, (low, high) in zip(values, ranges, strict=True):
        laws.follows_uniform(value, low, high)
    # The two steps have the same keys here, so that they are looked at apart.
    for some in (values[:3], values[3:]):
        assert np.abs(np.corrcoef(some) - np.eye(len(some))).max() < 0.03


@pytest.mark.parametrize(("resize", "border"), [(8, "edge"), (8, "zero"), (14, "edge")])
def test_patch_moves_as_scipy_samples_it(rng, resize, border):
    picture = reference.picture(rng, resize, resize)
    patch = MovedPatch(
        size=8,
        resize=resize,
        translate=0.2,
        scale=(0.7, 1.4),
        degrees=20.0,
        border=border,
    )
    found = jax.jit(patch)(KEY, picture, None)
    uniform = np.asarray(jax.random.uniform(KEY, (5,)), np.float64)
    angle = np.deg2rad(20 * (2 * uniform[0] - 1))
    shift = 0.2 * 8 * (2 * uniform[1:3] - 1)
    scale = 0.7 + 0.7 * uniform[3]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    y, x = np.mgrid[:8, :8] - 3.5
    # Content moves by p -> scale · turn · p + shift: read where it came from.
    there = np.stack([x, y], -1) - shift
    source = there @ turn / scale + 3.5 + (resize - 8) / 2  # turn⁻¹ is its transpose.
    mode = {"edge": "nearest", "zero": "grid-constant"}[border]
    wanted = [
        map_coordinates(
            picture[..., c].astype(np.float64),
            [source[..., 1], source[..., 0]],
            order=1,
            mode=mode,
        )
        for c in range(3)
    ]
    np.testing.assert_allclose(found, np.stack(wanted, -1), atol=0.01)


def test_transformations_of_no_strength_leave_the_image(rng):
    picture = reference.picture(rng, 8, 8)
    recipe = VIEWS["exemplar"](size=8, strength=0.0, **STILL, **PLAIN)
    assert recipe.parts()[""][0].steps == ()
    found = jax.jit(recipe)(KEY, {"image": picture})
    np.testing.assert_allclose(found, picture / 255, atol=1e-6)


def test_recipe_has_the_papers_ranges_and_order():
    (view,) = VIEWS["exemplar"]().parts()["image"]
    assert view.crop == MovedPatch(
        size=32, resize=32, translate=0.2, scale=(0.7, 1.4), degrees=20.0
    )
    contrast, curves, hue, _ = view.steps
    assert contrast.factor == (0.5, 2.0)
    assert (curves.power, curves.factor, curves.offset) == (
        (0.25, 4.0),
        (0.7, 1.4),
        (-0.1, 0.1),
    )
    assert hue.amount == 0.1
    half = VIEWS["exemplar"](strength=0.5).parts()["image"][0].steps
    assert half[1].power == (0.5, 2.0)
    assert half[2].amount == 0.05


def test_a_pair_of_views_is_made_for_other_methods(rng):
    example = {"image": reference.picture(rng, 8, 8)}
    views = jax.jit(VIEWS["exemplar"](num_views=2, size=8, **PLAIN))
    found = np.asarray(views(KEY, example))
    assert found.shape == (2, 8, 8, 3)
    assert np.abs(found[0] - found[1]).max() > 0.01
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"degrees": 200.0}, r"degrees = 200.0 must be in \[0, 180\]"),
        ({"resize": 16}, "size = 32 must be at most resize = 16"),
        ({"min_scale": 2.0}, "min_scale = 2.0 must be at most max_scale = 1.4"),
        ({"hue": 0.7}, r"hue = 0.7 must be in \[0, 0.5\]"),
        ({"power": (0.0, 2.0)}, r"power = \(0.0, 2.0\) must be positive"),
        ({"center": (0.5, 0.5)}, r"center = \(0.5, 0.5\) must be a colour"),
        ({"components": [[1, 0, 0]] * 3}, "must be three unit vectors at right angles"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VIEWS["exemplar"](**settings)


def test_grey_images_name_the_setting_to_change():
    example = {"image": np.zeros((8, 8, 1), np.uint8)}
    with pytest.raises(
        ValueError, match="operations on colours need 3; set strength=0"
    ):
        VIEWS["exemplar"](size=8, carried=())(KEY, example)
