"""Grids of pictures: what their builders put in, and how they are laid out."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from jax_ssl.report import Column, Pictures, ReportInputs, write_report
from jax_ssl.report.draw import FRAME, GAP, LINE, sheet, sunk
from jax_ssl.report.html import fitting
from jax_ssl.report.pictures import (
    Examples,
    bars_said,
    likeliest,
    neighbors_grid,
    operations_grid,
    views_grid,
)
from jax_ssl.report.theme import LIGHT
from jax_ssl.report.tiles import TILE, tile
from tests.report.inputs import images
from tests.report.reading import Page


def values(grid):
    return {column.head: column.values for column in grid.columns}


def test_normalisation_is_undone_exactly(rng):
    image = images(rng, 2, 3, 4, 4, 3)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.4])
    grid = views_grid([(image - mean) / std], mean=mean, std=std)
    assert list(values(grid)) == ["view 1", "view 2", "view 3"]
    for i, shown in enumerate(values(grid).values()):
        np.testing.assert_allclose(shown, image[:, i], atol=1e-6)
    assert "undone" in grid.caption


def test_unnormalised_views_are_left_alone(rng):
    image, whole = images(rng, 2, 1, 4, 4, 3), images(rng, 2, 8, 8, 3)
    grid = views_grid([image], whole)
    assert list(values(grid)) == ["original", "view 1"]
    np.testing.assert_array_equal(values(grid)["original"], whole)
    np.testing.assert_array_equal(values(grid)["view 1"], image[:, 0])
    assert "as they are" in grid.caption


def test_unknown_normalisation_is_stretched_and_said(rng):
    given = 7 * images(rng, 2, 3, 4, 4, 1) - 3
    given[0, 0] = 5.0  # A constant view has no range to stretch.
    grid = views_grid([given])
    assert "stretched" in grid.caption
    shown = np.stack([*values(grid).values()], axis=1)
    np.testing.assert_allclose(shown[1].min((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(shown[1].max((1, 2, 3)), 1, atol=1e-6)
    np.testing.assert_array_equal(shown[0, 0], 0)


def test_views_of_sound_are_not_stretched(rng):
    wave = images(rng, 2, 1, 50) * 2 - 1
    grid = views_grid([wave], kind="wave", rate=8000)
    np.testing.assert_array_equal(values(grid)["view 1"], wave[:, 0])
    assert (grid.columns[0].kind, grid.columns[0].rate) == ("wave", 8000)
    assert "of the size 50." in grid.caption


def test_views_of_two_sizes(rng):
    grid = views_grid([images(rng, 3, 2, 8, 8, 3), images(rng, 3, 1, 4, 4, 3)])
    assert "8 × 8 × 3 and 4 × 4 × 3" in grid.caption
    assert len(grid.columns) == 3


def test_operations_have_a_column_each(rng):
    drawn = {name: images(rng, 3, 8, 8, 3) for name in "abc"}
    grid = operations_grid(drawn)
    assert list(values(grid)) == ["a", "b", "c"]
    np.testing.assert_array_equal(values(grid)["b"], drawn["b"])
    assert "each by itself" in grid.caption


def neighbors(labels, query_labels=(0, 1), files=None):
    q, k = 2, 3
    return neighbors_grid(
        Examples(np.zeros((q, 8, 8, 1)), query_labels and np.array(query_labels)),
        Examples(
            np.zeros((q, k, 8, 8, 1)),
            None if labels is None else np.array(labels),
            None if files is None else np.array(files),
        ),
        np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.125]]),
        label_names=["cat", "dog"],
    )


def test_neighbours_say_their_cosine_class_and_agreement():
    grid = neighbors([[0, 1, -1], [1, 1, 0]])
    query, nearest, second, third = grid.columns
    assert list(query.words) == ["cat", "dog"]
    assert list(nearest.words) == ["0.90 · cat", "0.60 · dog"]
    assert list(third.words) == ["0.70 · unlabelled", "0.12 · cat"]
    assert [list(c.agrees) for c in (nearest, second, third)] == [
        [True, True],
        [False, True],
        [None, False],
    ]
    assert "3 of 5 neighbours agree" in grid.caption
    assert [c.head for c in grid.columns] == ["query", "nearest", "2", "3"]


def test_neighbours_without_labels_carry_their_files():
    files = [["a/1.png", "b", "c"], ["d", "e", "f"]]
    grid = neighbors(None, None, files)
    assert list(grid.columns[1].words) == ["0.90\na/1.png", "0.60\nd"]
    assert not grid.columns[1].agrees
    assert "frames cannot say" in grid.caption


def drawn(grid):
    tiles = [
        [Image.fromarray(tile(column, r)) for column in grid.columns]
        for r in range(len(grid.columns[0].values))
    ]
    return np.asarray(Image.open(io.BytesIO(sheet(grid.columns, tiles))))


def test_a_sheet_shows_the_tiles_in_their_frames_and_does_not_resample(rng):
    image = images(rng, 2, 8, 8, 3)
    columns = [
        Column("given", image),
        Column("found", 1 - image, agrees=[True, False], words=["one", "two\nthree"]),
    ]
    paper = drawn(Pictures("", columns))
    step = TILE + 2 * GAP
    for r in range(2):
        for c, column in enumerate(columns):
            top = 2 * LINE + r * (step + 2 * LINE) + GAP
            left = c * step + GAP
            np.testing.assert_array_equal(
                paper[top : top + TILE, left : left + TILE], tile(column, r)
            )
            tone = ("white", "white", "better", "worse")[2 * c + r]
            edge = ImageColor.getrgb(LIGHT.get(tone, "white"))
            np.testing.assert_array_equal(paper[top - FRAME, left - FRAME], edge)
    assert (paper[: LINE - 8] == 255).all()  # No group, no words above the heads.
    assert (paper[LINE : 2 * LINE] < 128).any()


def test_long_heads_of_a_sheet_are_whole(rng):
    """Each line of words above a column moves the tiles down by one line."""
    image = images(rng, 1, 8, 8, 3)
    long = "probabilities at temperature 4"  # Two lines over a tile.
    for group, head, lines in (("", "a", 2), (long, "a", 3), (long, f"b {long}", 4)):
        columns = [Column("given", image), Column(head, image, group=group)]
        paper = drawn(Pictures("", columns))
        top = lines * LINE + GAP
        for left in (GAP, TILE + 3 * GAP):
            found = paper[top : top + TILE, left : left + TILE]
            np.testing.assert_array_equal(found, tile(columns[0], 0))
        # The last line of words is above them.
        assert (paper[(lines - 1) * LINE : lines * LINE] < 128).any()


def test_names_that_would_cover_each_other_go_below():
    """Boxes of height 10: two in one place, one beside, one in the way below."""
    boxes = [(0, 90, 30, 100), (10, 90, 40, 100), (50, 90, 80, 100), (20, 75, 30, 85)]
    np.testing.assert_array_equal(sunk(np.array(boxes)), [0, 10, 0, 5])
    touching = np.array([(0, 0, 10, 10), (0, -10, 10, 0), (10, 0, 20, 10)])
    np.testing.assert_array_equal(sunk(touching), [0, 0, 0])
    assert sunk(np.zeros((0, 4))).shape == (0,)


def test_the_likeliest_classes_are_named():
    names = ["cat", "dog", "frog"]
    p = np.array([[0.25, 0.0625, 0.6875], [1.0, 0.0, 0.0], [1 / 3] * 3])
    assert likeliest(p, names) == [
        "frog 68.8\xa0%\ncat 25.0\xa0%\ndog 6.2\xa0%",
        "cat 100.0\xa0%",
        "cat 33.3\xa0%\ndog 33.3\xa0%\nfrog 33.3\xa0%",
    ]
    assert likeliest(np.full((1, 10_000), 1e-4), None) == ["0 0.0\xa0%"]
    assert likeliest(np.array([[0.0, 1.0]]), None, 1) == ["1 100.0\xa0%"]
    assert "full height is 40.0\xa0%." in bars_said(0.4, 10)
    assert "neighbours" not in bars_said(0.4, 48)
    assert "neighbours among 1,000 classes" in bars_said(0.4, 1000)


def test_what_is_left_out_of_a_large_grid_is_said(tmp_path, rng):
    columns = [Column(f"{i}", images(rng, 11, 2, 2, 1), group="all") for i in range(13)]
    grid = Pictures("large", columns, "Caption.")
    inputs = ReportInputs(title="", pictures=[("Large", grid)])
    page = Page(write_report(tmp_path, inputs).read_text("utf-8"))
    assert (
        "Caption. The first 10 of 11 rows and the first 12 of 13 columns" in page.text
    )
    assert len(page.images()) == 120
    # Twelve tiles of 96 pixels and the room around them are 1000 pixels wide.
    sizes = {attrs["width"] for tag, attrs in page.elements if tag == "img"}
    assert sizes == {f"{round((1000 - 12 * 12) / 12)}"}
    assert ("th", {"colspan": "12"}) in page.elements


def test_columns_are_reduced_where_that_spares_scrolling():
    assert fitting([96] * 9) == 1
    assert fitting([100] * 10) == pytest.approx((1000 - 120) / 1000)
    assert fitting([288] * 6) == 1  # A page of 0.7 of their width is too narrow.
    assert fitting([]) == 1


def test_words_are_text_of_the_page(tmp_path, rng):
    name = "n01440764/n01440764_10026.JPEG"
    column = Column("a", images(rng, 1, 2, 2, 1), words=[f"0.9\n{name}"], agrees=[True])
    grid = Pictures("one", [column])
    inputs = ReportInputs(title="", pictures=[("One", grid)])
    page = Page(write_report(tmp_path, inputs).read_text("utf-8"))
    assert name in page.text  # Whole, however long.
    tones = [attrs.get("class") for tag, attrs in page.elements if tag == "td"]
    assert "better" in tones
    (width,) = [attrs["width"] for tag, attrs in page.elements if tag == "img"]
    assert width == f"{TILE // 2}"
    alts = [attrs["alt"] for tag, attrs in page.elements if tag == "img"]
    assert alts == ["a 1"]


def test_a_grid_of_nothing_is_a_sentence(tmp_path):
    grids = [
        Pictures("none", []),
        Pictures("empty", [Column("a", np.ones((0, 2, 2, 1)))]),
    ]
    inputs = ReportInputs(title="", pictures=[("None", grid) for grid in grids])
    page = Page(write_report(tmp_path, inputs).read_text("utf-8"))
    assert page.text.count("There is nothing to show.") == 2


def test_wrong_shapes_are_named_before_anything_is_drawn(rng):
    with pytest.raises(ValueError, match=r"'a' has shape \(2, 4, 4\) and kind 'image'"):
        Column("a", np.ones((2, 4, 4)))
    with pytest.raises(ValueError, match="kind 'imge'"):
        Column("a", np.ones((2, 4, 4, 3)), "imge")
    columns = [Column(f"{n}", np.ones((n, 4, 4, 3))) for n in (2, 3)]
    with pytest.raises(ValueError, match=r"g: columns differ.*'2': 2, '3': 3"):
        Pictures("g", columns)
