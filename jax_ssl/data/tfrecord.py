"""Random access to the records of TFRecord files, without TensorFlow.

A record is its length (8 bytes), the masked CRC-32C of these (4), the data, and a CRC
of the data (4), all little-endian. One pass over the headers finds every offset.
"""

import mmap
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

_HEADER, _FOOTER = 12, 4


class FilePart(Protocol):
    """Records skip ... skip + take - 1 of a file; TFDS's `FileInstruction`."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


class TFRecords:
    """The records of parts of TFRecord files, as one sequence of bytes objects."""

    def __init__(self, parts: Sequence[FilePart]) -> None:
        self._files = [os.fspath(part.filename) for part in parts]
        with ThreadPoolExecutor(min(16, max(1, len(parts)))) as pool:
            spans = list(pool.map(_part_spans, parts))
        self._spans = np.concatenate(spans)  # [N, 2] int64: offset and length
        self._file = np.repeat(np.arange(len(parts)), [len(span) for span in spans])
        first = np.concatenate([np.arange(len(span)) for span in spans])
        self._number = first + np.repeat(
            [p.skip for p in parts], np.bincount(self._file)
        )

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, row: int) -> bytes:
        offset, length = map(int, self._spans[row])
        # Opened anew: ImageNet has 1,024 shards, more than a process may keep open.
        with open(self._files[self._file[row]], "rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(length)
        if len(data) != length:
            raise OSError(f"only {len(data)} of {length} bytes could be read")
        return data

    def where(self, row: int) -> str:
        """File and record number, for messages."""
        file = os.path.basename(self._files[self._file[row]])
        return f"{file}, record {self._number[row]}"


def _part_spans(part: FilePart) -> np.ndarray:
    spans = record_spans(part.filename)
    if len(spans) != part.examples_in_shard:
        raise ValueError(
            f"{part.filename} holds {len(spans)} records, but dataset_info.json says "
            f"{part.examples_in_shard}; the file is incomplete: prepare it again."
        )
    return spans[part.skip : part.skip + part.take]


def record_spans(path: str) -> np.ndarray:
    """Offset and length of the data of every record, [n, 2] int64.

    Raises:
        ValueError: if the file ends inside a record or a length fails its checksum,
            naming the file and the record. The checksums of the data are not verified.
    """
    size = os.path.getsize(path)
    spans, crcs = [], bytearray()
    if size:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view,
        ):
            at = 0
            while at + _HEADER <= size:
                length = int.from_bytes(view[at : at + 8], "little")
                crcs += view[at + 8 : at + _HEADER]
                spans.append((at + _HEADER, min(length, size)))
                at += _HEADER + length + _FOOTER
            if at != size and not (spans and at > size):
                spans.append((at, 0))  # Too short even for a header.
                crcs += bytes(4)
    out = np.array(spans, np.int64).reshape(-1, 2)
    lengths = np.ascontiguousarray(out[:, 1]).astype("<u8")
    stored = np.frombuffer(bytes(crcs), "<u4")
    wrong = np.flatnonzero(stored != _masked_crc(lengths.view(np.uint8).reshape(-1, 8)))
    if wrong.size:
        raise ValueError(
            f"{path}: the length of record {wrong[0]} fails its checksum; the file is "
            "damaged or not a TFRecord file."
        )
    if len(out) and out[-1].sum() + _FOOTER != size:
        raise ValueError(
            f"{path} ends inside record {len(out) - 1}; it is truncated: copy or "
            "prepare it again."
        )
    return out


def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):  # The reversed polynomial of CRC-32C (Castagnoli).
        table = np.where(table & 1, table >> 1 ^ np.uint32(0x82F63B78), table >> 1)
    return table


_CRC_TABLE = _crc_table()


def _masked_crc(rows: np.ndarray) -> np.ndarray:
    """Masked CRC-32C of every row of [n, k] uint8, [n] uint32."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        crc = _CRC_TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    return (crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)
