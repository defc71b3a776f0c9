"""Cells and membranes, on pictures whose errors can be counted by hand."""

import jax
import numpy as np
import pytest

from jax_ssl.evaluate.membranes import membranes, split_errors, warping_error
from jax_ssl.evaluate.part import part_of

SIDES = (12, 17)


def two_cells(*columns):
    """Cells beside each other, with membranes at some columns."""
    cells = np.ones(SIDES, bool)
    cells[:, list(columns)] = False
    return cells


def test_errors_of_a_merger_are_those_of_the_formulas():
    true = two_cells(8)  # Two cells of 8 x 12 pixels.
    rand, information = split_errors(np.ones(SIDES, bool), true)
    assert rand == pytest.approx(1 - 2 * 0.5 / (1 + 0.5))
    assert information == pytest.approx(1)  # Bits: which of two cells it is.
    # A true cell split in halves says as much about the other.
    assert split_errors(two_cells(8), np.ones(SIDES, bool))[0] == pytest.approx(
        1 - 2 * ((8 / 17) ** 2 + (9 / 17) ** 2) / (1 + (8 / 17) ** 2 + (9 / 17) ** 2)
    )


def test_the_width_of_membranes_does_not_matter():
    true = two_cells(8)
    for found in (true, two_cells(7, 8, 9), two_cells(5, 6, 7, 8, 9, 10, 11)):
        assert split_errors(found, true) == pytest.approx((0, 0), abs=1e-12)
    nothing = np.zeros(SIDES, bool)
    assert split_errors(nothing, true) == split_errors(~nothing, true)


def test_random_cells_agree_with_pairs_of_pixels(rng):
    """The F-score counted pair by pair; a pixel is paired with itself, too."""
    from scipy import ndimage

    true, found = rng.uniform(size=(2, 9, 9)) > 0.4
    labels = ndimage.label(found)[0]
    nearest = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    a, b = labels[tuple(nearest)][true], ndimage.label(true)[0][true]
    same = [x[:, None] == x for x in (a, b)]
    both = (same[0] & same[1]).sum()
    precision, recall = both / same[0].sum(), both / same[1].sum()
    rand, _ = split_errors(found, true)
    assert rand == pytest.approx(1 - 2 * precision * recall / (precision + recall))


def test_a_warp_moves_boundaries_and_keeps_their_topology():
    true = two_cells(8)
    assert warping_error(true, true) == 0
    assert warping_error(two_cells(7), true) == 0
    assert warping_error(two_cells(7, 8, 9), true) == 0
    size = true.size
    gap = true.copy()
    gap[4, 8] = True
    assert warping_error(gap, true) == 1 / size
    # Of a membrane too many all but one pixel can grow from its ends.
    assert warping_error(two_cells(4, 8), true) == pytest.approx(1 / size)
    speck = true.copy()
    speck[5:7, 2:4] = False
    assert warping_error(speck, true) == pytest.approx(4 / size)


def judged(found, true, **settings):
    protocol = membranes(**settings)
    measure = jax.jit(protocol.measured.measure)
    rows = [
        measure(
            {"segmentation": np.stack([np.zeros(SIDES), f], -1).astype(np.float32)},
            {"mask": m.astype(np.uint8)},
        )
        for f, m in zip(found, true, strict=True)
    ]
    part = part_of(np.stack(rows))
    (outcome,) = protocol.run(part, part)
    return outcome


def test_the_best_threshold_counts():
    true = two_cells(8)
    # Cells at a probability of 0.95, the membrane at 0.75, one more at 0.85.
    chance = np.full(SIDES, 0.95)
    chance[:, 8] = 0.75
    chance[:, 3] = 0.85
    outcome = judged([np.log(chance / (1 - chance))] * 2, [true] * 2)
    assert outcome.detail["threshold"] == 0.8
    assert outcome.values == pytest.approx(
        {
            "rand_error": 0,
            "variation_of_information": 0,
            "warping_error": 0,
            "pixel_error": 0,
        },
        abs=1e-9,
    )
    first = judged([np.log(chance / (1 - chance))], [true], thresholds=(0.9, 0.7))
    assert first.values["pixel_error"] == pytest.approx(12 / true.size)
    assert first.values["rand_error"] > 0.05


def test_one_cell_is_the_control():
    true = two_cells(8)
    protocol = membranes()
    said = protocol.measured.baselines["one_cell"]({}, {})
    row = protocol.measured.measure(said, {"mask": true.astype(np.uint8)})
    part = part_of(np.asarray(row)[None])
    (outcome,) = protocol.run(part, part)
    assert outcome.values["rand_error"] == pytest.approx(1 / 3)
    assert outcome.values["pixel_error"] == pytest.approx(1 / 17)
    none = protocol.measured.measure(said, {"mask": np.zeros(SIDES, np.uint8)})
    part = part_of(np.asarray(none)[None])
    (skipped,) = protocol.run(part, part)
    assert "no picture has a pixel of class 1" in skipped.reason


def test_void_is_no_error():
    true = two_cells(8).astype(np.uint8)
    found = np.where(true, 3.0, -3.0)
    found[:, 3] = -3.0
    true[:, 3] = 255
    assert judged([found], [true]).values["pixel_error"] == 0


def test_impossible_thresholds_are_refused():
    with pytest.raises(ValueError, match="thresholds"):
        membranes(thresholds=(0.5, 1.0))
    with pytest.raises(ValueError, match="thresholds"):
        membranes(thresholds=())
