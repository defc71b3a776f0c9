"""Files of flow, disparity and depth, against bytes written by hand and by Pillow."""

import struct

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data import geometry_files as files


def test_flo_is_its_bytes(tmp_path):
    path = str(tmp_path / "a.flo")
    numbers = [1.5, -2.0, 3.0, 0.25, 1e10, 0.0, 7.0, 8.0, -9.0, 2e9, 11.0, 12.0]
    head = b"PIEH" + struct.pack("<ii", 3, 2)
    (tmp_path / "a.flo").write_bytes(head + struct.pack("<12f", *numbers))
    flow = files.read_flo(path)
    assert flow.dtype == np.float32
    np.testing.assert_array_equal(flow[..., 2], [[1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(flow[0, :2, :2], [[1.5, -2.0], [3.0, 0.25]])
    np.testing.assert_array_equal(flow[1, 1], [0, 0, 0])
    np.testing.assert_array_equal(flow[1, 2, :2], [11, 12])
    files.write_flo(path, flow)
    np.testing.assert_array_equal(files.read_flo(path), flow)
    files.write_flo(path, flow[..., :2])
    np.testing.assert_array_equal(files.read_flo(path)[..., :2], flow[..., :2])


@pytest.mark.parametrize("big_endian", [False, True])
def test_pfm_is_its_bytes(tmp_path, big_endian):
    order, scale = (">", "1.0") if big_endian else ("<", "-1.0")
    path = tmp_path / "a.pfm"
    # The lower row comes first, and numbers may begin like white space.
    spaces = struct.unpack(f"{order}f", b"\n\n\n\n")[0]
    data = struct.pack(f"{order}6f", spaces, 2, 3, 4, 5, np.inf)
    path.write_bytes(f"Pf\n3 2\n{scale}\n".encode() + data)
    expected = np.float32([[4, 5, np.inf], [spaces, 2, 3]])
    np.testing.assert_array_equal(files.read_pfm(str(path)), expected)
    np.testing.assert_array_equal(
        files.read_disparity(str(path)), np.where(np.isinf(expected), 0, expected)
    )
    written = str(tmp_path / "b.pfm")
    files.write_pfm(written, expected, big_endian=big_endian)
    assert (tmp_path / "b.pfm").read_bytes() == path.read_bytes()
    colours = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    files.write_pfm(written, colours, big_endian=big_endian)
    np.testing.assert_array_equal(files.read_pfm(written), colours)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_png_keeps_every_bit(tmp_path, rng, dtype, shape):
    path = str(tmp_path / "a.png")
    values = rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    files.write_png(path, values)
    np.testing.assert_array_equal(files.read_png(path), values)
    image = Image.open(path)
    image.load()
    assert image.size == (7, 5)
    if dtype == np.uint8 or len(shape) == 2:  # All that Pillow keeps.
        np.testing.assert_array_equal(np.asarray(image), values)
    with pytest.raises(ValueError, match=r"float32 and shape \(5, 7"):
        files.write_png(path, values.astype(np.float32))


def test_kitti_flow_is_what_the_benchmark_says(tmp_path):
    path = str(tmp_path / "flow.png")
    stored = np.zeros((1, 3, 3), np.uint16)
    stored[0, 0] = [2**15 + 64, 2**15 - 32, 1]
    stored[0, 1] = [2**15 + 6400, 2**15, 1]
    files.write_png(path, stored)
    expected = [[[1, -0.5, 1], [100, 0, 1], [0, 0, 0]]]
    np.testing.assert_array_equal(files.read_kitti_flow(path), expected)
    files.write_kitti_flow(path, np.float32(expected))
    np.testing.assert_array_equal(files.read_png(path), stored)
    files.write_kitti_flow(path, np.float32([[[1e4, -1e4]]]))
    extremes = [[[511.984375, -512, 1]]]
    np.testing.assert_array_equal(files.read_kitti_flow(path), extremes)


def test_kitti_maps_are_what_the_benchmark_says(tmp_path):
    path = str(tmp_path / "disp.png")
    Image.fromarray(np.uint16([[256, 384, 0]])).save(path)
    np.testing.assert_array_equal(files.read_kitti_map(path), [[1, 1.5, 0]])
    values = np.float32([[0, 1e-6, 3.14159, 80.0, 1e6]])
    files.write_kitti_map(path, values)
    found = files.read_kitti_map(path)
    expected = [[0, 1 / 256, 3.140625, 80, 65535 / 256]]
    np.testing.assert_array_equal(found, np.float32(expected))
    Image.fromarray(np.uint8([[12, 0]])).save(path)
    np.testing.assert_array_equal(files.read_disparity(path, scale=1), [[12, 0]])


def test_arrays_of_disparities_are_read(tmp_path):
    values = np.float32([[1.5, np.inf], [np.nan, 2]])
    for save, name in ((np.save, "a.npy"), (np.savez, "a.npz")):
        save(tmp_path / name, values)
        found = files.read_disparity(str(tmp_path / name))
        np.testing.assert_array_equal(found, [[1.5, 0], [0, 2]])


@pytest.mark.parametrize(
    ("name", "data", "read", "message"),
    [
        ("a.flo", b"PNGH", files.read_flo, "no .flo file, it begins with b'PNGH'"),
        ("a.flo", b"PIEH\1\0\0\0\2\0\0\0ab", files.read_flo, "ends after 0 of 4 numb"),
        ("a.flo", b"PIEH\1\0\0\0\xff\xff\xff\xff", files.read_flo, "its header says"),
        ("a.pfm", b"P5\n1 1\n1", files.read_pfm, "no .pfm file"),
        ("a.pfm", b"Pf\n", files.read_pfm, "no .pfm file"),
        ("a.pfm", b"Pf\n2 1\n-1\n\0\0\0\0", files.read_pfm, "ends after 1 of 2"),
        ("a.png", b"no picture", files.read_png, "no image, or damaged"),
        ("a.npz", b"no array", files.read_disparity, "no array"),
    ],
)
def test_broken_files_are_named_with_a_remedy(tmp_path, name, data, read, message):
    (tmp_path / name).write_bytes(data)
    path = str(tmp_path / name)
    with pytest.raises(files.BrokenFile, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(path)
    assert "again" in str(caught.value)
    with pytest.raises(FileNotFoundError):
        read(path + name)


def test_files_of_another_kind_are_named(tmp_path):
    path = str(tmp_path / "a.png")
    files.write_png(path, np.zeros((2, 2), np.uint16))
    with pytest.raises(files.BrokenFile, match="KITTI's flow is a PNG of three"):
        files.read_kitti_flow(path)
    files.write_png(path, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(files.BrokenFile, match="is a grey PNG"):
        files.read_kitti_map(path)
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(files.BrokenFile, match=r"a disparity is \[H, W\]"):
        files.read_disparity(str(tmp_path / "a.npy"))
