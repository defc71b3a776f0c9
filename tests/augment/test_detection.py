"""Boxes stay where things are in every view of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.core.fields import Field

FIELDS = {
    "image": Field("image", (40, 60, 3), np.dtype("uint8")),
    "boxes": Field("boxes", (3, 5), np.dtype("float32")),
    "size": Field("size", (2,), np.dtype("int32")),
    "scale": Field("scale", (2,), np.dtype("float32")),
}
BOX = (8, 12, 24, 20)  # On a picture of 32 x 48 pixels.


def example():
    image = np.zeros((40, 60, 3), np.uint8)
    image[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    boxes = np.full((3, 5), -1, np.float32)
    boxes[1] = 2, *BOX
    found = {"image": image, "boxes": boxes, "size": np.array([32, 48], np.int32)}
    found["scale"] = np.full(2, 0.5, np.float32)
    return jax.tree.map(jnp.asarray, found)


def extent(image):
    """Where a view is white, from edge to edge."""
    rows, columns = (np.flatnonzero((image[..., 0] > 0.5).any(i)) for i in (1, 0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("flip", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_boxes_follow_sizes_places_and_mirrors(flip):
    view = VIEWS["detection_crops"](
        FIELDS, size=(48, 64), flip=flip, min_scale=0.6, max_scale=1.8
    )
    seen = jax.vmap(view, (0, None))(jax.random.split(jax.random.key(0), 12), example())
    whole = 0
    for image, boxes in zip(
        *map(np.asarray, (seen["image"], seen["boxes"])), strict=True
    ):
        np.testing.assert_array_equal(boxes[[0, 2]], -1)
        if boxes[1, 0] >= 0:
            np.testing.assert_allclose(
                extent(np.asarray(image)), boxes[1, 1:], atol=0.75
            )
            whole += 1
    assert whole > 6


def test_a_mirror_commutes_with_the_view():
    made = [
        VIEWS["detection_crops"](FIELDS, size=48, flip=flip)(
            jax.random.key(3), example()
        )
        for flip in (0.0, 1.0)
    ]
    np.testing.assert_allclose(made[0]["image"][:, ::-1], made[1]["image"])
    _, left, top, right, bottom = made[0]["boxes"][1]
    np.testing.assert_allclose(
        made[1]["boxes"][1], [2, 48 - right, top, 48 - left, bottom]
    )


def test_the_whole_picture_fits_and_says_its_scale():
    view = VIEWS["detection_whole"](FIELDS, size=96, mean=(0.5,), std=(0.5,))
    seen = view(jax.random.key(0), example())
    # 32 x 48 pixels become 64 x 96; two to one of the canvas, one to one of the file.
    np.testing.assert_allclose(seen["boxes"][1], [2, 16, 24, 48, 40])
    np.testing.assert_allclose(seen["scale"], [1, 1])
    np.testing.assert_array_equal(seen["image"][64:], 0)
    assert seen["image"][:64].min() == -1


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("detection_crops", {"size": 32, "flip": 2.0}, "flip = 2.0"),
        ("detection_crops", {"size": 0}, "size = 0 must be at least 1"),
        ("detection_crops", {"size": None}, "size = None; say a side"),
        ("detection_crops", {"size": 32, "carried": ("box",)}, "have no 'box'"),
        ("detection_whole", {"size": 32, "carried": ("size",)}, "is of kind 'size'"),
    ],
)
def test_what_cannot_be_made_is_refused(name, settings, said):
    with pytest.raises(ValueError, match=said):
        VIEWS[name](FIELDS, **settings)
