"""Random access to the records of TFRecord files, without TensorFlow.

A record is its length (8 bytes), the masked CRC-32C of these (4), the data, and a CRC
of the data (4), all little-endian. One pass over the headers finds every offset.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jax_ssl.core.telling import telling
from jax_ssl.data.places import mark_of, part_of, reading, remote
from jax_ssl.data.scans import kept

_HEADER = np.dtype([("length", "<u8"), ("checksum", "<u4")])
_FOOTER = 4  # Bytes behind the data.


class TFRecords:
    """The records of parts of TFRecord files, as one sequence of bytes objects.

    Args:
        parts: TFDS's `FileInstruction`s: each stands for the records skip ... skip +
            take - 1 of the file `filename`, which holds `examples_in_shard` of them.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        text, spans = "looking where the records lie in the files", list[np.ndarray]()
        with (
            ThreadPoolExecutor(16) as pool,
            telling(text, len(parts), only_if_long=True) as advance,
        ):
            for found in pool.map(_spans, parts):
                spans.append(found)
                advance(1)
        self._spans = np.concatenate(spans)  # [N, 2] int64: offset and length
        self._files = [os.fspath(part.filename) for part in parts]
        self._file = np.repeat(np.arange(len(parts)), [part.take for part in parts])

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, row: int) -> bytes:
        # Opened anew: ImageNet has 1,024 shards, more than a process may keep open.
        return part_of(self._files[self._file[row]], *self._spans[row].tolist())


def _spans(part: Any) -> np.ndarray:
    spans = record_spans(part.filename)
    if len(spans) != part.examples_in_shard:
        raise ValueError(
            f"{part.filename} holds {len(spans)} records, but dataset_info.json says "
            f"{part.examples_in_shard}; the file is incomplete: copy it or prepare it "
            "again."
        )
    return spans[part.skip : part.skip + part.take]


def record_spans(path: str) -> np.ndarray:
    """Offset and length of the data of every record, [n, 2] int64.

    Raises:
        ValueError: if the file ends inside a record or a length fails its checksum,
            naming the file and the record. The checksums of the data are not verified.
    """
    path = os.fspath(path)
    size, time = mark_of(path)
    if remote(path) and time:  # To scan it again would be to read it again.
        scan = lambda: _scan(path, size).tolist()
        found = kept(["tfrecord", path, size, time], scan)
        return np.array(found, np.int64).reshape(-1, 2)
    return _scan(path, size)


def _scan(path: str, size: int) -> np.ndarray:
    headers, offsets, at = bytearray(), [], 0
    with reading(path) if remote(path) else open(path, "rb", buffering=0) as file:
        while at < size:
            file.seek(at)
            # Where the file ends inside a header, the zeros fail the checksum.
            header = file.read(_HEADER.itemsize).ljust(_HEADER.itemsize, b"\0")
            headers += header
            offsets.append(at + _HEADER.itemsize)
            at = offsets[-1] + int.from_bytes(header[:8], "little") + _FOOTER
    found = np.frombuffer(bytes(headers), _HEADER)
    wrong = np.flatnonzero(found["checksum"] != _masked_crc(found["length"]))
    if wrong.size:
        raise ValueError(
            f"{path}: the length of record {wrong[0]} fails its checksum; the file is "
            "damaged or not a TFRecord file."
        )
    if at != size:
        raise ValueError(
            f"{path} ends inside record {len(found) - 1}; it is truncated: copy or "
            "prepare it again."
        )
    return np.array([offsets, found["length"]], np.int64).T


def _masked_crc(lengths: np.ndarray) -> np.ndarray:
    """Masked CRC-32C of the eight bytes of every length [n] uint64, [n] uint64."""
    crc: np.ndarray = np.full(len(lengths), 0xFFFFFFFF, np.uint64)
    for bit in range(64):  # The reversed polynomial (Castagnoli), the least bit first.
        odd = (crc ^ lengths >> bit) & 1
        crc = crc >> 1 ^ odd * 0x82F63B78
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
