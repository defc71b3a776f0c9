"""Laws of mirror images and crops that touch several fields of an example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import geometry
from jax_ssl.augment.views import center_crop
from jax_ssl.core.fields import ON_CANVAS, Field
from jax_ssl.data.synthetic_frames import synthetic_frames
from jax_ssl.ops.resize import Box
from tests.data.test_synthetic_frames import read

KEY = jax.random.key(0)
H, W = 6, 10
FIELDS = {
    "image": Field("image", (H, W, 2), np.uint8),
    "mask": Field("mask", (H, W), np.uint8),
    "depth": Field("depth", (H, W), np.float32),
    "flow": Field("flow", (H, W, 3), np.float32),
    "matrix": Field("matrix", (3, 3), np.float32),
    "boxes": Field("boxes", (2, 5), np.float32),
    "label": Field("label", (), np.int32),
}
CAMERA = np.float32([[9, 0.3, 4.2], [0, 8, 2.9], [0, 0, 1]])


@pytest.fixture
def example(rng):
    return {
        "image": rng.integers(0, 256, (H, W, 2), np.uint8),
        "mask": rng.integers(0, 9, (H, W), np.uint8),
        "depth": rng.uniform(1, 9, (H, W)).astype(np.float32),
        "flow": rng.normal(size=(H, W, 3)).astype(np.float32),
        "matrix": CAMERA,
        "boxes": np.float32([[2, 1, 0, 4, 5], [-1] * 5]),
        "label": np.int32(3),
    }


def same(a, b, **tolerance):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], err_msg=name, **tolerance)
        assert a[name].dtype == b[name].dtype


def project(camera, points):
    seen = points @ np.float64(camera).T
    return seen[..., :2] / seen[..., 2:]


def some_points(rng):
    return rng.uniform([-1, -1, 2], [1, 1, 5], (20, 3))


def test_mirror_is_right_for_every_kind(example):
    out = jax.jit(lambda e: geometry.mirror(e, FIELDS))(example)
    for name in ("image", "mask", "depth"):
        np.testing.assert_array_equal(out[name], example[name][:, ::-1])
    flow = example["flow"][:, ::-1] * np.float32([-1, 1, 1])
    np.testing.assert_array_equal(out["flow"], flow)
    assert out["boxes"].tolist() == [[2, 6, 0, 9, 5], [-1] * 5]
    np.testing.assert_allclose(
        out["matrix"], [[9, -0.3, W - 1 - 4.2], [0, 8, 2.9], [0, 0, 1]], rtol=1e-6
    )
    assert out["label"] == 3


def test_mirror_twice_is_the_identity(example):
    once = geometry.mirror(example, FIELDS)
    same(geometry.mirror(once, FIELDS), example, rtol=1e-6)
    same(geometry.mirror(example, FIELDS, jnp.asarray(False)), example)


def test_projection_commutes_with_mirror(example, rng):
    """A mirrored point is seen by the mirrored camera at the mirrored pixel."""
    points = some_points(rng)
    before = project(example["matrix"], points)
    mirrored = geometry.mirror(example, FIELDS)["matrix"]
    after = project(mirrored, points * [-1, 1, 1])
    np.testing.assert_allclose(after[:, 0], W - 1 - before[:, 0], rtol=1e-5)
    np.testing.assert_allclose(after[:, 1], before[:, 1], rtol=1e-5)


def test_a_projection_matrix_is_mirrored_too(rng):
    fields = {"mask": FIELDS["mask"], "camera": Field("matrix", (3, 4), np.float32)}
    matrix = np.concatenate([CAMERA, rng.normal(size=(3, 1))], 1).astype(np.float32)
    given = {"mask": np.zeros((H, W), np.uint8), "camera": matrix}
    out = geometry.mirror(given, fields)["camera"]
    points = np.concatenate([some_points(rng), np.ones((20, 1))], 1)
    before, after = project(matrix, points), project(out, points * [-1, 1, 1, 1])
    np.testing.assert_allclose(after[:, 0], W - 1 - before[:, 0], rtol=1e-4)


def test_poses_in_a_mirror_lead_from_mirrored_points_to_mirrored_points(rng):
    fields = {"mask": FIELDS["mask"], "poses": Field("poses", (3, 3, 4), np.float32)}
    given = {
        "mask": np.zeros((H, W), np.uint8),
        "poses": rng.normal(size=(3, 3, 4)).astype(np.float32),
    }
    poses = geometry.mirror(given, fields)["poses"]
    points, flip = some_points(rng), np.array([-1, 1, 1])
    for before, after in zip(given["poses"], poses, strict=True):
        moved = points @ before[:, :3].T + before[:, 3]
        mirrored = (flip * points) @ np.float64(after[:, :3]).T + after[:, 3]
        np.testing.assert_allclose(mirrored, flip * moved, rtol=1e-5, atol=1e-5)
    box = Box(1, 2, 4, 5)
    np.testing.assert_array_equal(
        geometry.crop(given, fields, box)["poses"], given["poses"]
    )


def test_mirror_stays_on_the_filled_part_of_a_canvas(example):
    """The picture fills 6 x 7 of 6 x 10 pixels."""
    fields = {**FIELDS, **ON_CANVAS}
    size = {"size": np.int32([H, 7]), "scale": np.float32([0.5, 0.5])}
    canvas = {**example, **size}
    canvas["mask"][:, 7:] = 255
    out = jax.jit(lambda e: geometry.mirror(e, fields))(canvas)
    for name in ("image", "mask", "depth"):
        np.testing.assert_array_equal(out[name][:, :7], canvas[name][:, 6::-1])
    assert (out["mask"][:, 7:] == 255).all()
    np.testing.assert_allclose(out["matrix"][0, 2], 7 - 1 - 4.2, rtol=1e-6)
    assert out["boxes"][0].tolist() == [2, 3, 0, 6, 5]
    again = geometry.mirror(out, fields)
    for name in ("image", "mask", "depth"):
        np.testing.assert_array_equal(again[name][:, :7], canvas[name][:, :7])


@pytest.fixture(scope="module")
def films():
    source = synthetic_frames(num_examples=4)
    return source.fields, source[np.arange(4)]


def one(films, row):
    fields, rows = films
    return fields, {name: x[row] for name, x in rows.items()}


@pytest.mark.parametrize("row", range(4))
def test_the_flow_of_mirrored_frames_is_the_mirrored_flow(films, row):
    fields, film = one(films, row)
    out = {k: np.asarray(x) for k, x in geometry.mirror(film, fields).items()}
    y, x = np.mgrid[:32, :32]
    known = out["flow"][..., 2] == 1
    u, v = out["flow"][known, 0], out["flow"][known, 1]
    found = read(out["frames"][1], x[known] + u, y[known] + v)
    assert abs(found - out["frames"][0][known]).mean() < 5
    # And that of the mirrored depth, camera and translation.
    pixels = np.stack([x, y, np.ones_like(x)], -1).astype(np.float64)
    camera = np.float64(out["intrinsics"])
    points = out["depth"][..., None] * (pixels @ np.linalg.inv(camera).T)
    moved = points - [-0.3, 0.1, 0.2]
    expected = project(camera, moved) - pixels[..., :2]
    np.testing.assert_allclose(out["flow"][..., :2], expected, atol=1e-4)


@pytest.mark.parametrize("row", range(2))
def test_flow_and_projection_commute_with_crops(films, row, rng):
    fields, film = one(films, row)
    box = Box(jnp.int32(5), jnp.int32(9), 20, 16)
    out = jax.jit(
        lambda e, top, left: geometry.crop(e, fields, Box(top, left, 20, 16))
    )(film, box.top, box.left)
    for name in ("frames", "depth", "flow"):
        at = fields[name].rows_axis
        cut = film[name].take(np.arange(5, 25), at).take(np.arange(9, 25), at + 1)
        np.testing.assert_array_equal(out[name], cut)
        assert out[name].dtype == fields[name].dtype
    points = rng.uniform([-1, -1, 2], [1, 1, 5], (20, 3))
    before, after = (project(e["intrinsics"], points) for e in (film, out))
    np.testing.assert_allclose(after, before - [9, 5], rtol=1e-4, atol=1e-4)


def test_crop_and_mirror_commute(example):
    def cut(example, left):
        return geometry.crop(example, FIELDS, Box(1, left, 4, 5))

    smaller = {
        name: field
        if field.sides is None
        else Field(field.kind, (4, 5, *field.shape[2:]), field.dtype)
        for name, field in FIELDS.items()
    }
    first = cut(geometry.mirror(example, FIELDS), W - 5 - 2)
    same(first, geometry.mirror(cut(example, 2), smaller), rtol=1e-5, atol=1e-5)


def pair(rng, baseline=2):
    """A scene seen from two places, and the disparity in pixels of either picture."""
    shape = (H, W)
    scene = rng.integers(0, 256, (H, W + baseline, 1), np.uint8)
    fields, example = {}, {}
    for i, side in enumerate(("left", "right")):
        # left[x] shows what right[x - d] does.
        example[f"{side}_view"] = scene[:, baseline * i :][:, :W]
        example[f"disparity_{side}"] = np.full(shape, baseline, np.float32)
        fields[f"{side}_view"] = Field("image", (*shape, 1), np.uint8)
        fields[f"disparity_{side}"] = Field("disparity", shape, np.float32)
    return fields, example


def test_a_mirrored_stereo_pair_is_a_stereo_pair(rng):
    fields, example = pair(rng)
    example["disparity_right"][:, 0] = 0  # Unknown there, to tell the two apart.
    out = {k: np.asarray(x) for k, x in geometry.mirror(example, fields).items()}
    np.testing.assert_array_equal(out["left_view"], example["right_view"][:, ::-1])
    np.testing.assert_array_equal(
        out["disparity_left"], example["disparity_right"][:, ::-1]
    )
    for seen in (example, out):
        left, right, d = seen["left_view"], seen["right_view"], 2
        np.testing.assert_array_equal(left[:, d:], right[:, :-d])
    same(geometry.mirror(out, fields), example)


def test_half_a_stereo_pair_has_no_mirror_image(rng):
    fields, example = pair(rng)
    del example["disparity_right"]
    with pytest.raises(ValueError, match="'disparity_left' has no like on the other"):
        geometry.mirror(example, fields)
    fields["disparity"] = fields["disparity_left"]
    example["disparity"] = example.pop("disparity_left")
    with pytest.raises(ValueError, match="'disparity' has no like"):
        geometry.mirror(example, fields)
    # Nor has what the other camera would see otherwise, under a name for both.
    for kind, shape in (("depth", (H, W)), ("poses", (2, 3, 4))):
        kinds, whole = pair(rng)
        kinds[kind] = Field(kind, shape, np.float32)
        whole[kind] = np.zeros(shape, np.float32)
        with pytest.raises(ValueError, match=f"'{kind}' has no like"):
            geometry.mirror(whole, kinds)
    alone = {"disparity": example["disparity"]}
    assert geometry.mirror(alone, fields)["disparity"].shape == (H, W)


def test_words_within_words_are_not_sides():
    assert geometry.other_side("brightness") == "brightness"
    assert geometry.other_side("left_intrinsics") == "right_intrinsics"


def test_there_must_be_a_picture_of_one_size():
    with pytest.raises(ValueError, match=r"no picture among the fields \['matrix'\]"):
        geometry.mirror({"matrix": CAMERA}, FIELDS)


@pytest.mark.parametrize("filled", [None, (6, 8)])
def test_carried_fields_follow_the_centre_crop(rng, filled):
    """A mask that says where an image is bright says so after the crop too."""
    mask = np.repeat(np.repeat(rng.integers(0, 2, (6, 8)), 4, 0), 4, 1).astype(np.uint8)
    image = 200 * mask[..., None] + np.zeros(3, np.uint8)
    fields = {
        "image": Field("image", (24, 32, 3), np.uint8),
        "mask": Field("mask", (24, 32), np.uint8),
        "other": Field("image", (24, 32, 3), np.uint8),
        "camera": Field("matrix", (3, 3), np.float32),
        "label": Field("label", (), np.int32),
    }
    example = {"image": image, "mask": mask, "other": image, "camera": CAMERA}
    example["label"] = np.int32(5)
    size = (24, 32)
    if filled:
        size = (20, 24)
        example |= {"size": np.int32(size)}
        fields |= ON_CANVAS
    carried = ("mask", "camera", "label", "other")
    settings = {"size": 8, "resize": 12, "mean": (0.5,), "std": (0.25,)}
    out = jax.jit(center_crop(fields, **settings, carried=carried))(KEY, example)
    assert set(out) == {"image", *carried}
    alone = jax.jit(center_crop(**settings))(KEY, example)
    np.testing.assert_allclose(out["image"], alone, atol=1e-5)
    np.testing.assert_allclose(out["other"], alone, atol=1e-5)
    assert out["mask"].dtype == np.uint8
    assert out["label"] == 5
    resized = np.array(size) * 12 // min(size)
    step = np.array(size) / resized
    corner = np.round((resized - 8) / 2)
    rows, columns = (
        np.floor((c + np.arange(8) + 0.5) * s).astype(int)
        for c, s in zip(corner, step, strict=True)
    )
    np.testing.assert_array_equal(out["mask"], mask[rows][:, columns])
    points = some_points(rng)
    before, after = project(CAMERA, points), project(out["camera"], points)
    expected = (before + 0.5) / step[::-1] - corner[::-1] - 0.5
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-4)


def test_fields_that_are_not_there_cannot_be_carried():
    with pytest.raises(ValueError, match=r"no 'mask', only \['image'\]"):
        center_crop({"image": FIELDS["image"]}, size=8, carried=("mask",))
    with pytest.raises(ValueError, match=r"no 'mask', only \[\]"):
        center_crop(size=8, carried=("mask",))
