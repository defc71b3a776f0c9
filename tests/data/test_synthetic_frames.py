import numpy as np
import pytest

from jax_ssl.data.synthetic_frames import TEXTURES, synthetic_frames

MOTION = (0.3, 0.1, 0.2)


def everything(**settings):
    source = synthetic_frames(translation=MOTION, **settings)
    return source, source[np.arange(len(source))]


def read(image, x, y):
    """Bilinear samples of [H, W, C] in float64; places must lie inside."""
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = np.ceil(x).astype(int), np.ceil(y).astype(int)
    dx, dy = (x - left)[..., None], (y - top)[..., None]
    image = image.astype(np.float64)
    upper = (1 - dx) * image[top, left] + dx * image[top, right]
    lower = (1 - dx) * image[low, left] + dx * image[low, right]
    return (1 - dy) * upper + dy * lower


@pytest.mark.parametrize("planes", [1, 2])
def test_flow_is_that_of_depth_camera_and_translation(planes):
    _, rows = everything(num_examples=8, planes=planes)
    y, x = np.mgrid[:32, :32]
    pixels = np.stack([x, y, np.ones_like(x)], -1).astype(np.float64)
    for camera, depth, flow in zip(
        rows["intrinsics"], rows["depth"], rows["flow"], strict=True
    ):
        camera = camera.astype(np.float64)
        points = depth[..., None] * (pixels @ np.linalg.inv(camera).T)
        seen = (points - MOTION) @ camera.T
        expected = seen[..., :2] / seen[..., 2:] - pixels[..., :2]
        np.testing.assert_allclose(flow[..., :2], expected, atol=1e-4)
        assert len(np.unique(depth)) == planes
        assert set(np.unique(flow[..., 2])) == {0, 1}


@pytest.mark.parametrize("planes", [1, 2])
def test_the_second_frame_warped_by_the_flow_is_the_first(planes):
    _, rows = everything(num_examples=16, planes=planes)
    y, x = np.mgrid[:32, :32]
    for film, flow in zip(rows["frames"], rows["flow"], strict=True):
        known = flow[..., 2] == 1
        assert known.mean() > 0.6
        u, v = flow[known, 0], flow[known, 1]
        found = read(film[1], x[known] + u, y[known] + v)
        error = abs(found - film[0][known])
        # k² / 8 times the amplitude of 102 for each of at most three second
        # derivatives, k = 2π / 11.2 a pixel, and half a level of rounding twice.
        assert error.max() < 3 * (2 * np.pi / 11.2) ** 2 / 8 * 102 + 1
        inside = known & (x - flow[..., 0] >= 0) & (x - flow[..., 0] <= 31)
        inside &= (y - flow[..., 1] >= 0) & (y - flow[..., 1] <= 31)
        u, v = flow[inside, 0], flow[inside, 1]
        wrong = abs(read(film[1], x[inside] - u, y[inside] - v) - film[0][inside])
        assert wrong.mean() > 5 * error.mean()


def test_a_hidden_point_is_not_known():
    """The disc moves left over the ground: that is hidden on the disc's left side."""
    source = synthetic_frames(num_examples=8, translation=(0.5, 0, 0))
    rows = source[np.arange(8)]
    for depth, flow in zip(rows["depth"], rows["flow"], strict=True):
        ground = depth > 1.5 * depth.min()
        near = flow[~ground, 0].mean()
        assert (
            near < 1.9 * flow[ground, 0].mean() < 0
        )  # Half the depth, twice the flow.
        middle = depth[:, 3:].min(1).argmin()
        first = (~ground[middle]).argmax()
        if 4 <= first < 30:
            assert not flow[middle, first - 1, 2]


def test_a_camera_at_rest_sees_the_same_picture():
    source = synthetic_frames(num_examples=4, translation=(0, 0, 0), num_frames=3)
    rows = source[np.arange(4)]
    assert rows["frames"].shape == (4, 3, 32, 32, 3)
    np.testing.assert_array_equal(rows["frames"][:, 0], rows["frames"][:, 2])
    assert not rows["flow"][..., :2].any()
    assert rows["flow"][..., 2].all()


def test_a_row_depends_on_its_number_seed_and_split_alone():
    _, many = everything(num_examples=12)
    for name, few in everything(num_examples=4)[1].items():
        np.testing.assert_array_equal(few, many[name][:4])
    assert len(np.unique(many["frames"].reshape(12, -1), axis=0)) == 12
    for other in ({"seed": 1}, {"split": "test"}):
        assert (
            everything(num_examples=12, **other)[1]["frames"] != many["frames"]
        ).any()


def test_fields_are_described():
    source, rows = everything(num_examples=8, size=16, channels=1, num_frames=3)
    assert {name: (f.kind, f.shape) for name, f in source.fields.items()} == {
        "frames": ("frames", (3, 16, 16, 1)),
        "intrinsics": ("matrix", (3, 3)),
        "depth": ("depth", (16, 16)),
        "flow": ("flow", (16, 16, 3)),
        "label": ("label", ()),
        "index": ("index", ()),
    }
    assert source.fields["label"].names == TEXTURES
    assert np.bincount(rows["label"]).tolist() == [2] * 4


def test_wrong_settings_are_refused():
    for settings in ({"num_classes": 5}, {"num_frames": 1}, {"size": 4}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} = "):
            synthetic_frames(**settings)
    with pytest.raises(ValueError, match=r"1 metre .*translation = \(0, 0, 0.6\)"):
        synthetic_frames(translation=(0, 0, 0.6), num_frames=3)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match=r"^split = 'nope' must be one of 'train', "):
        synthetic_frames(split="nope")
