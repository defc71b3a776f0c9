"""Images and boxes in COCO's layout, as they are on the canvas."""

import json

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data import SOURCES

TOLD = {
    "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    "images": [
        {"id": 42, "file_name": "a.png"},
        {"id": 5, "file_name": "b.png"},
        {"id": 6, "file_name": "c.png"},
    ],
    "annotations": [
        {"image_id": 42, "category_id": 7, "bbox": [2, 4, 10, 20], "iscrowd": 0},
        {"image_id": 42, "category_id": 3, "bbox": [0, 0, 40, 30], "iscrowd": 1},
        {"image_id": 5, "category_id": 3, "bbox": [10, 20, 30, 40]},
        {"image_id": 5, "category_id": 7, "bbox": [0, 0, 4, 4]},
        {"image_id": 5, "category_id": 7, "bbox": [5, 5, 0, 9]},
    ],
}


@pytest.fixture
def made(tmp_path):
    def make(told=TOLD, **settings):
        for name, sides in (
            ("a.png", (40, 30)),
            ("b.png", (80, 64)),
            ("c.png", (9, 9)),
        ):
            Image.fromarray(np.full((*sides[::-1], 3), 50, np.uint8)).save(
                tmp_path / name
            )
        (tmp_path / "told.json").write_text(json.dumps(told))
        given = {"path": str(tmp_path / "told.json"), "images": str(tmp_path)}
        return SOURCES["coco"](**{**given, "canvas": 40, **settings})

    return make


def test_boxes_are_edges_on_the_canvas_and_classes_go_by_their_ids(made):
    source = made()
    rows = source[np.arange(3)]
    assert source.fields["boxes"].names == ("cat", "dog")
    assert rows["image"].shape == (3, 40, 40, 3)
    nothing = [-1] * 5
    np.testing.assert_allclose(rows["boxes"][0], [[1, 2, 4, 12, 24], nothing])
    np.testing.assert_allclose(rows["crowds"][0], [[0, 0, 0, 40, 30]])
    # 80 x 64 pixels are halved; the box without a width is left out.
    np.testing.assert_allclose(rows["boxes"][1], [[0, 5, 10, 20, 30], [1, 0, 0, 2, 2]])
    np.testing.assert_array_equal(rows["boxes"][2], [nothing] * 2)
    np.testing.assert_array_equal(rows["scale"][1], [0.5, 0.5])


def test_images_without_boxes_and_all_but_the_largest_can_be_left_out(made):
    source = made(empty=False, max_boxes=1)
    assert len(source) == 2
    np.testing.assert_allclose(source[np.array([1])]["boxes"][0], [[0, 5, 10, 20, 30]])


def changed(**own):
    """The file with other values in its first annotation."""
    first, *others = TOLD["annotations"]
    return {"told": {**TOLD, "annotations": [{**first, **own}, *others]}}


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"told": {"images": []}}, ValueError, r"not like COCO's .* 'categories'"),
        ({"told": {**TOLD, "annotations": []}}, ValueError, "holds no box"),
        ({"images": "/nonexistent"}, FileNotFoundError, "data.images = '/nonexistent'"),
        ({"path": "/nonexistent.json"}, FileNotFoundError, "data.path"),
        (
            {
                "told": {
                    **TOLD,
                    "images": [{"id": 99, "file_name": "x.png"}, *TOLD["images"]],
                }
            },
            FileNotFoundError,
            r"lacks 1 of 4 images .* 'x.png'",
        ),
        (changed(image_id=99), ValueError, "annotation has the image_id 99"),
        (changed(category_id=-1), ValueError, "annotation has the category_id -1"),
        (changed(bbox=[1, float("nan"), 5, 5]), ValueError, r"the bbox \[1, nan, 5"),
        (changed(bbox=[1, 1, float("inf"), 5]), ValueError, r"the bbox \[1, 1, inf"),
        (
            {"told": {**TOLD, "categories": TOLD["categories"] * 2}},
            ValueError,
            "2 of categories have the id",
        ),
        (
            {"told": {**TOLD, "images": [*TOLD["images"], TOLD["images"][0]]}},
            ValueError,
            "2 of images have the id",
        ),
        ({"max_boxes": 0}, ValueError, "data.max_boxes = 0"),
    ],
)
def test_what_cannot_be_read_is_said(made, settings, error, said):
    with pytest.raises(error, match=said):
        made(**settings)
