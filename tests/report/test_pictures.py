import io

import numpy as np
import pytest
from PIL import Image

from jax_ssl.report import Neighbors, ReportInputs
from jax_ssl.report.pictures import (
    GAP,
    TILE,
    neighbors_grid,
    shown_views,
    tile,
    views_grid,
)
from jax_ssl.report.theme import DIFFERENT, SAME
from tests.report.inputs import images


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def count(png, color):
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((pixels(png)[..., :3] == rgb).all(-1).sum())


def test_small_images_are_enlarged_by_whole_pixels(rng):
    image = images(rng, 8, 5, 3)
    shown = tile(image)
    factor = TILE // 8
    assert shown.shape == (8 * factor, 5 * factor, 3)
    np.testing.assert_array_equal(
        shown[::factor, ::factor], np.round(255 * image).astype(np.uint8)
    )
    assert (
        shown.reshape(8, factor, 5, factor, 3)
        == shown[::factor, None, ::factor][:, :, :, None]
    ).all()


def test_one_channel_is_grey_and_large_images_fit(rng):
    shown = tile(images(rng, 400, 300, 1))
    assert shown.shape == (TILE, round(TILE * 0.75), 3)
    assert (shown[..., 0] == shown[..., 1]).all()
    assert (shown[..., 0] == shown[..., 2]).all()


def test_bytes_are_shown_as_they_are():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(tile(image)[:: TILE // 4, :: TILE // 4], image)


def test_normalisation_is_undone_exactly(rng):
    image = images(rng, 2, 3, 4, 4, 3)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.4])
    (shown,), said = shown_views([(image - mean) / std], mean, std)
    np.testing.assert_allclose(shown, image, atol=1e-6)
    assert "undone" in said


def test_unnormalised_views_are_left_alone(rng):
    image = images(rng, 2, 3, 4, 4, 3)
    (shown,), said = shown_views([image], None, None)
    np.testing.assert_array_equal(shown, image)
    assert "as they are" in said


def test_unknown_normalisation_is_stretched_and_said(rng):
    values = 7 * images(rng, 2, 3, 4, 4, 1) - 3
    values[0, 0] = 5.0  # A constant view has no range to stretch.
    (shown,), said = shown_views([values], None, None)
    assert "stretched" in said
    np.testing.assert_allclose(shown[1].min((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(shown[1].max((1, 2, 3)), 1, atol=1e-6)
    np.testing.assert_array_equal(shown[0, 0], 0)


def test_originals_come_first_and_are_not_resampled(rng):
    originals, views = images(rng, 2, 8, 8, 3), images(rng, 2, 1, 8, 8, 3)
    sheet = pixels(
        views_grid(ReportInputs(title="", originals=originals, views=views)).png
    )
    top = 34 + GAP // 2
    np.testing.assert_array_equal(
        sheet[top : top + TILE, GAP : GAP + TILE, :3], tile(originals[0])
    )
    left = GAP + TILE + GAP + GAP
    np.testing.assert_array_equal(
        sheet[top : top + TILE, left : left + TILE, :3], tile(views[0, 0])
    )


def test_views_of_two_sizes_and_what_is_left_out(rng):
    inputs = ReportInputs(
        title="", views=[images(rng, 30, 2, 8, 8, 3), images(rng, 30, 12, 4, 4, 3)]
    )
    said = views_grid(inputs).caption
    assert "8 × 8 and 4 × 4 pixels" in said
    assert "first 10 of 30 images and the first 12 of 14 columns" in said


def test_frames_tell_right_from_wrong(rng):
    def grid(labels, query_labels=(0,)):
        return neighbors_grid(
            Neighbors(
                queries=np.zeros((1, 8, 8, 1)),
                images=np.zeros((1, 2, 8, 8, 1)),
                similarities=np.ones((1, 2)),
                query_labels=None if query_labels is None else np.array(query_labels),
                labels=None if labels is None else np.array([labels]),
            ),
            ["cat", "dog"],
        )

    right, wrong, mixed, unknown = grid([0, 0]), grid([1, 1]), grid([0, 1]), grid(None)
    assert count(right.png, SAME) > 0 == count(right.png, DIFFERENT)
    assert count(wrong.png, DIFFERENT) > 0 == count(wrong.png, SAME)
    assert "50.0 % of all 2 neighbours agree" in mixed.caption
    assert count(unknown.png, SAME) == count(unknown.png, DIFFERENT) == 0


@pytest.mark.parametrize("q", [0, 3])
def test_no_neighbours_no_figure(q):
    nothing = Neighbors(
        queries=np.zeros((q, 4, 4, 1)),
        images=np.zeros((q, 0, 4, 4, 1)),
        similarities=np.zeros((q, 0)),
    )
    assert neighbors_grid(nothing, None) is None
