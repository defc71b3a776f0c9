import math

import jax
import numpy as np
import pytest

from jax_ssl.ops.positions import resample_positions, sincos_positions


def keys_cubic(t):
    """Keys' interpolation kernel with a = -1/2."""
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def resize_axis(table, new):
    """Antialiased cubic resize of the first axis in float64."""
    old = table.shape[0]
    stretch = max(old / new, 1)
    out = np.zeros((new, *table.shape[1:]))
    for i in range(new):
        centre = (i + 0.5) * old / new - 0.5
        weights = np.array([keys_cubic((j - centre) / stretch) for j in range(old)])
        out[i] = np.tensordot(weights / weights.sum(), table, 1)
    return out


@pytest.mark.parametrize(
    ("height", "width", "dim"), [(3, 5, 12), (1, 1, 4), (14, 14, 8)]
)
def test_sincos_is_the_formula(height, width, dim):
    table = sincos_positions(height, width, dim)
    assert table.dtype == np.float32
    quarter = dim // 4
    for y in range(height):
        for x in range(width):
            for i in range(quarter):
                rate = 1 / 10000 ** (i / quarter)
                want = [f(p * rate) for p in (x, y) for f in (math.sin, math.cos)]
                found = table[y * width + x, i::quarter]
                np.testing.assert_allclose(found, want, atol=1e-7)


def test_sincos_width_that_is_no_multiple_of_four_is_named():
    with pytest.raises(ValueError, match="multiple of 4, not 6"):
        sincos_positions(2, 2, 6)


@pytest.mark.parametrize(
    ("old", "new"),
    [((4, 4), (7, 7)), ((7, 7), (3, 5)), ((2, 3), (6, 2)), ((1, 1), (3, 2))],
)
def test_resampling_is_antialiased_bicubic(rng, old, new):
    table = rng.normal(size=(*old, 6)).astype(np.float32)
    wide = table.astype(np.float64)
    want = resize_axis(wide, new[0])
    want = resize_axis(want.transpose(1, 0, 2), new[1]).transpose(1, 0, 2)
    found = resample_positions(table.reshape(-1, 6), old, new)
    np.testing.assert_allclose(found, want.reshape(-1, 6), atol=2e-6)


def cubic(t):
    """Keys' kernel with torch's a = -0.75."""
    t, a = abs(t), -0.75
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


@pytest.mark.parametrize(("form", "more"), [("mae", 0.0), ("dino", 0.1)])
@pytest.mark.parametrize(("old", "new"), [((4, 4), (7, 9)), ((7, 5), (3, 5))])
def test_torch_s_forms_are_the_kernel_at_their_places(rng, form, more, old, new):
    table = rng.normal(size=(*old, 2)).astype(np.float32)
    want = np.zeros((*new, 2))
    for y, x in np.ndindex(*new):
        centre = [
            (place + 0.5) * before / (after + more) - 0.5
            for place, before, after in zip((y, x), old, new, strict=True)
        ]
        rows, columns = (range(math.floor(c) - 1, math.floor(c) + 3) for c in centre)
        for i in rows:
            for j in columns:
                weight = cubic(centre[0] - i) * cubic(centre[1] - j)
                at = np.clip(i, 0, old[0] - 1), np.clip(j, 0, old[1] - 1)
                want[y, x] += weight * table[at]
    found = resample_positions(table.reshape(-1, 2), old, new, form=form)
    np.testing.assert_allclose(found, want.reshape(-1, 2), atol=2e-6)


def test_native_grid_is_returned_bit_for_bit(rng):
    table = jax.numpy.asarray(rng.normal(size=(12, 6)), "float32")
    assert resample_positions(table, (3, 4), (3, 4)) is table


def test_constant_positions_stay_constant():
    table = np.full((16, 3), 0.7, np.float32)
    found = resample_positions(table, (4, 4), (9, 5))
    np.testing.assert_allclose(found, 0.7, rtol=1e-6)
