"""Files of flow, disparity and depth: .flo, .pfm, and KITTI's PNGs of 16 bits.

What is read has the form of the fields of `core.fields`: flow [H, W, 3] float32 with 1
in its last channel where it is known and 0 everywhere else, disparity and depth [H, W]
float32 with 0 where unknown.
"""

import os
import re
import struct
import zlib

import numpy as np

from jax_ssl.data.images import open_file, opened

_FLO = 202021.25  # The first number of a .flo file, in bytes the word PIEH.
_UNKNOWN_FLO = 1e9  # Components from here on mean that a flow is not known.
_PFM = rb"(P[fF])\s+(\d+)\s+(\d+)\s+([-+.\deE]+)\s"  # One white space ends it.
_PIXELS = 10**9  # No picture has more; broken headers do.


class BrokenFile(ValueError):  # noqa: N818 - it says what a file is
    """A file that does not hold what its name promises."""

    def __init__(self, path: str, wrong: str, remedy: str) -> None:
        super().__init__(f"{path}: {wrong}; {remedy}.")


def read_flo(path: str) -> np.ndarray:
    """Flow [H, W, 3] of a .flo file, as Middlebury, Sintel and FlyingChairs have it.

    Raises:
        BrokenFile: if it is none, or ends too early.
        OSError: if it cannot be opened.
    """
    data = _bytes(path)
    remedy = "copy it again, or write it with write_flo"
    if len(data) < 12 or struct.unpack("<f", data[:4])[0] != _FLO:
        raise BrokenFile(path, f"no .flo file, it begins with {data[:4]!r}", remedy)
    width, height = struct.unpack("<ii", data[4:12])
    values = _numbers(path, data[12:], (height, width, 2), "<f4", remedy)
    known = (abs(values) < _UNKNOWN_FLO).all(-1, keepdims=True)
    return np.concatenate([np.where(known, values, 0), known], -1, dtype=np.float32)


def write_flo(path: str, flow: np.ndarray) -> None:
    """Writes flow [H, W, 2], or [H, W, 3] whose last channel is 0 where unknown."""
    height, width, channels = flow.shape
    values = np.array(flow[..., :2], "<f4")
    if channels == 3:
        values[flow[..., 2] == 0] = 2 * _UNKNOWN_FLO
    with open(path, "wb") as file:
        file.write(struct.pack("<fii", _FLO, width, height))
        file.write(values.tobytes())


def read_pfm(path: str) -> np.ndarray:
    """The numbers of a .pfm file, [H, W] or [H, W, 3] float32, upper row first.

    Raises:
        BrokenFile: if it is none, or ends too early.
        OSError: if it cannot be opened.
    """
    data, remedy = _bytes(path), "copy it again, or write it with write_pfm"
    found = re.match(_PFM, data)
    if found is None:
        raise BrokenFile(path, f"no .pfm file, it begins with {data[:16]!r}", remedy)
    kind, width, height, scale = found.groups()
    channels, order = (1 if kind == b"Pf" else 3), "<" if scale[:1] == b"-" else ">"
    shape = (int(height), int(width), channels)
    values = _numbers(path, data[found.end() :], shape, f"{order}f4", remedy)
    upright = values[::-1].astype(np.float32)
    return upright[..., 0] if channels == 1 else upright


def write_pfm(path: str, values: np.ndarray, *, big_endian: bool = False) -> None:
    """Writes numbers [H, W] or [H, W, 3] as a .pfm file."""
    height, width = values.shape[:2]
    kind = "Pf" if values.ndim == 2 else "PF"
    scale, order = ("1.0", ">f4") if big_endian else ("-1.0", "<f4")
    with open(path, "wb") as file:
        file.write(f"{kind}\n{width} {height}\n{scale}\n".encode())
        file.write(values[::-1].astype(order).tobytes())


def read_png(path: str) -> np.ndarray:
    """The numbers of a PNG as they are stored, [H, W] or [H, W, C].

    Raises:
        BrokenFile: if it is no image, or damaged.
        OSError: if it cannot be opened.
    """
    try:
        with open_file(path) as file:
            values = np.asarray(opened(file).read())
    except FileNotFoundError:
        raise
    except Exception as error:  # Decoders fail in every way on broken files.
        raise BrokenFile(
            path, f"no image, or damaged ({error})", "copy it again"
        ) from (error)
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values


def write_png(path: str, values: np.ndarray) -> None:
    """Writes a PNG of numbers [H, W] or [H, W, 3], uint8 or uint16.

    Raises:
        ValueError: for other shapes and dtypes.
    """
    colours = {2: 0, 3: 2}.get(values.ndim)
    fits = values.dtype in (np.uint8, np.uint16) and values.shape[2:] in ((), (3,))
    if colours is None or not fits:
        raise ValueError(
            f"values of {values.dtype} and shape {values.shape} make no PNG; give "
            "[H, W] or [H, W, 3] of uint8 or uint16."
        )
    height, width = values.shape[:2]
    big = values.astype(values.dtype.newbyteorder(">")).reshape(height, -1)
    # Each row begins with the number of its filter, which is none.
    rows = np.pad(big.view(np.uint8), ((0, 0), (1, 0)))
    depth = 8 * values.dtype.itemsize
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head))
        file.write(chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b""))


def read_kitti_flow(path: str) -> np.ndarray:
    """Flow [H, W, 3] of a KITTI PNG: 64 u + 2**15, 64 v + 2**15, and whether known.

    Raises:
        BrokenFile: if it is not of three channels of 16 bits.
        OSError: if it cannot be opened.
    """
    values = read_png(path)
    if values.dtype != np.uint16 or values.shape[2:] != (3,):
        raise BrokenFile(
            path,
            f"holds {values.dtype} of shape {values.shape}",
            "KITTI's flow is a PNG of three channels of 16 bits",
        )
    known = values[..., 2:] > 0
    flow = (values[..., :2].astype(np.float32) - 2**15) / 64
    return np.concatenate([np.where(known, flow, 0), known], -1, dtype=np.float32)


def write_kitti_flow(path: str, flow: np.ndarray) -> None:
    """Writes flow [H, W, 2 or 3], rounded to 1 / 64 pixel and cut to 512 pixels."""
    known = flow[..., 2:] > 0 if flow.shape[-1] == 3 else np.ones_like(flow[..., :1])
    stored = np.clip(np.rint(64 * flow[..., :2]) + 2**15, 0, 2**16 - 1)
    write_png(path, np.concatenate([stored * known, known], -1).astype(np.uint16))


def read_kitti_map(path: str, scale: float = 256.0) -> np.ndarray:
    """Disparity or depth [H, W] of a PNG that holds `scale` times it, 0 for unknown.

    Raises:
        BrokenFile: if it has several channels.
        OSError: if it cannot be opened.
    """
    values = read_png(path)
    if values.ndim != 2:
        raise BrokenFile(
            path,
            f"holds {values.dtype} of shape {values.shape}",
            "a disparity or depth is a grey PNG of 16 bits, or of 8",
        )
    return (values / np.float32(scale)).astype(np.float32)


def write_kitti_map(path: str, values: np.ndarray, scale: float = 256.0) -> None:
    """Writes disparity or depth [H, W], rounded to 1 / scale; 0 stays unknown."""
    stored = np.clip(np.rint(scale * values), values > 0, 2**16 - 1)
    write_png(path, stored.astype(np.uint16))


def read_disparity(path: str, scale: float = 256.0) -> np.ndarray:
    """Disparity [H, W] of a .pfm, .npy or .npz file, or of a PNG, by its suffix.

    Args:
        path: the file; an .npz holds one array.
        scale: what a PNG's numbers are divided by.

    Raises:
        BrokenFile: if it holds something else.
        OSError: if it cannot be opened.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".pfm":
        values = read_pfm(path)
    elif suffix in (".npy", ".npz"):
        try:
            found = np.load(path, allow_pickle=False)
            values = found[found.files[0]] if suffix == ".npz" else found
        except OSError:
            raise
        except Exception as error:
            raise BrokenFile(path, f"no array ({error})", "write it again") from error
    else:
        return read_kitti_map(path, scale)
    if values.ndim != 2:
        raise BrokenFile(path, f"has shape {values.shape}", "a disparity is [H, W]")
    # Where there is none Middlebury has infinity.
    return np.where(np.isfinite(values) & (values > 0), values, 0).astype(np.float32)


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _numbers(
    path: str, data: bytes, shape: tuple[int, ...], dtype: str, remedy: str
) -> np.ndarray:
    """The first numbers of the data, of a shape that a header says."""
    if min(shape) < 1 or np.prod(shape, dtype=float) > _PIXELS:
        raise BrokenFile(path, f"its header says {shape} numbers", remedy)
    count = int(np.prod(shape))
    if len(data) < 4 * count:
        raise BrokenFile(
            path, f"ends after {len(data) // 4} of {count} numbers", remedy
        )
    return np.frombuffer(data, dtype, count).reshape(shape)
