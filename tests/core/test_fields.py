"""What a field is, and how a kind follows when its picture is resampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.fields import (
    INDEX,
    KINDS,
    Field,
    Window,
    common_sides,
    names_of,
    read_by,
    resampled,
    spec_of,
)

SIDES = {
    "image": (4, 6, 5),
    "frames": (2, 4, 6, 3),
    "mask": (4, 6),
    "depth": (4, 6),
    "disparity": (4, 6),
    "distance": (4, 6),
    "flow": (4, 6, 3),
    "wave": (9,),
    "length": (),
    "matrix": (3, 4),
    "poses": (5, 3, 4),
    "boxes": (2, 5),
    "label": (),
    "labels": (7,),
    "number": (),
    "index": (),
    "size": (2,),
    "scale": (2,),
}
DTYPES = {"mask": "uint8", "labels": "uint8", "size": "int32"} | dict.fromkeys(
    ("label", "index", "length", "number"), "int32"
)
FIELDS = {
    kind: Field(kind, shape, np.dtype(DTYPES.get(kind, "float32")))
    for kind, shape in SIDES.items()
}


def test_every_kind_has_its_shape():
    assert set(FIELDS) == set(KINDS)
    spec = spec_of(FIELDS)
    assert {k: (s.shape, s.dtype) for k, s in spec.items()} == {
        k: (f.shape, f.dtype) for k, f in FIELDS.items()
    }
    where = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    batch = spec_of(FIELDS, 5, where)
    assert {k: (s.shape, s.dtype, s.sharding) for k, s in batch.items()} == {
        k: ((5, *f.shape), f.dtype, where) for k, f in FIELDS.items()
    }
    pictures = {"image", "frames", "mask", "depth", "disparity", "distance", "flow"}
    assert {k for k, f in FIELDS.items() if f.sides == (4, 6)} == pictures
    assert all(FIELDS[k].sides is None for k in set(KINDS) - pictures)
    assert common_sides(FIELDS) == (4, 6)
    assert common_sides({"index": INDEX}) is None
    with pytest.raises(ValueError, match=r"'mask': \(4, 6\), 'deep': \(3, 6\)"):
        common_sides({"mask": FIELDS["mask"], "deep": Field("depth", (3, 6), "f4")})


def test_equal_fields_are_equal_and_can_be_hashed():
    a, b = (Field("label", (), dtype, names=("x", "y")) for dtype in ("i4", np.int32))
    assert a == b
    assert hash(a) == hash(b)
    assert names_of({"label": a}) == ("x", "y")
    assert names_of({"index": INDEX}) is None


@pytest.mark.parametrize(
    ("kind", "shape", "dtype", "message"),
    [
        ("picture", (), "int32", "kind = 'picture' is not one of image, frames"),
        ("image", (4, 6), "uint8", r"\[H, W, C\] of uint8 or float32, not \(4, 6\)"),
        ("flow", (4, 6, 2), "float32", r"\[H, W, 3\] .* not \(4, 6, 2\)"),
        ("mask", (4, 6), "int32", "of uint8, not .* of int32"),
        ("matrix", (4, 4), "float32", r"\[3, M\]"),
        ("poses", (5, 4, 4), "float32", r"\[T, 3, 4\] .* not \(5, 4, 4\)"),
    ],
)
def test_what_is_not_of_the_kind_is_refused(kind, shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        Field(kind, shape, np.dtype(dtype))


def example(rng):
    values = {k: rng.uniform(0, 9, f.shape).astype(f.dtype) for k, f in FIELDS.items()}
    values["boxes"] = np.float32([[1, 1, 0.5, 4, 3], [-1] * 5])
    return values


def test_host_and_device_resample_alike(rng):
    window = Window((0.75, 1.5), (1.25, 0.75), (2, 5))
    for kind, value in example(rng).items():
        host = resampled(value, FIELDS[kind], window, np)
        device = resampled(jnp.asarray(value), FIELDS[kind], window, jnp)
        np.testing.assert_allclose(host, device, rtol=1e-5, atol=1e-6)
        assert host.dtype == device.dtype == FIELDS[kind].dtype


def test_the_whole_picture_at_its_own_scale_is_itself(rng):
    window = Window((0.0, 0.0), (1.0, 1.0), (4, 6))
    for kind, value in example(rng).items():
        kept = np.array([4, 6]) if kind == "size" else value
        np.testing.assert_array_equal(resampled(value, FIELDS[kind], window, np), kept)


def test_windows_within_windows_are_windows(rng):
    """Cropping twice is cropping once, and so is shrinking by whole numbers."""
    fields = {k: f for k, f in FIELDS.items() if k not in ("size", "boxes")}
    values = {k: x for k, x in example(rng).items() if k in fields}
    first = Window((1.0, 2.0), (1.0, 1.0), (3, 4))
    second = Window((1.0, 0.0), (1.0, 2.0), (2, 2))
    both = Window((2.0, 2.0), (1.0, 2.0), (2, 2))
    for kind, value in values.items():
        once = resampled(value, fields[kind], both, np)
        twice = resampled(value, fields[kind], first, np)
        twice = resampled(twice, fields[kind], second, np)
        np.testing.assert_allclose(once, twice, rtol=1e-5, atol=1e-5)


def test_boxes_are_cut_to_the_window():
    boxes = np.float32(
        [[3, 0, 0, 4, 4], [1, 2, 3, 6, 5], [2, 7, 0, 9, 2], [-1, -1, -1, -1, -1]]
    )
    window = Window((1.0, 1.0), (0.5, 2.0), (8, 3))
    out = resampled(boxes, FIELDS["boxes"], window, np)
    expected = [[3, 0, 0, 1.5, 6], [1, 0.5, 4, 2.5, 8], [-1] * 5, [-1] * 5]
    np.testing.assert_allclose(out, expected)


def test_the_fields_that_a_view_reads_are_found():
    fields = {k: f for k, f in FIELDS.items() if k != "size"} | {"index": INDEX}

    def view(key, example):
        assert "mask" in example
        assert example.get("size") is None
        noise = jax.random.normal(key, example["image"].shape)
        return {"image": example["image"] + noise, "index": example["index"]}

    assert set(read_by(view, fields)) == {"mask", "image", "index"}
