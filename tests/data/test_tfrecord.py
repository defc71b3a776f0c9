import struct
from types import SimpleNamespace

import numpy as np
import pytest

from jax_ssl.data.tfrecord import TFRecords, record_spans
from tests.data.prepared import crc32c, masked, write_tfrecord

RECORDS = [bytes([i]) * i for i in range(1, 9)]


@pytest.fixture
def shards(tmp_path):
    """Eight records in three files."""
    parts = []
    for i, (first, last) in enumerate([(0, 3), (3, 4), (4, 8)]):
        path = tmp_path / f"shard{i}"
        write_tfrecord(path, RECORDS[first:last])
        parts.append(
            SimpleNamespace(
                filename=str(path),
                skip=0,
                take=last - first,
                examples_in_shard=last - first,
            )
        )
    return parts


def test_the_checksum_is_the_standards():
    assert crc32c(b"123456789") == 0xE3069283  # The check value of CRC-32C.


def test_records_are_read_in_any_order(shards):
    records = TFRecords(shards)
    assert len(records) == 8
    for row in (7, 0, 3, 4, 0):
        assert records[row] == RECORDS[row]


def test_parts_of_files_are_read(shards):
    shards[0].skip, shards[0].take = 1, 1
    shards[2].skip, shards[2].take = 2, 2
    records = TFRecords([shards[0], shards[2]])
    assert [records[i] for i in range(3)] == [RECORDS[i] for i in (1, 6, 7)]


def test_an_empty_file_holds_no_records(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert record_spans(str(tmp_path / "empty")).shape == (0, 2)


def test_spans_point_at_the_data(tmp_path):
    path = tmp_path / "file"
    write_tfrecord(path, RECORDS)
    data = path.read_bytes()
    spans = record_spans(str(path))
    assert spans.dtype == np.int64
    assert [data[o : o + n] for o, n in spans] == RECORDS


@pytest.mark.parametrize("cut", [1, 5, 13, 20, 23])
def test_truncated_files_are_refused(tmp_path, cut):
    path = tmp_path / "file"
    write_tfrecord(path, RECORDS)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"file.* (ends inside|fails its checksum)"):
        record_spans(str(path))


def test_a_damaged_length_is_found(tmp_path):
    path = tmp_path / "file"
    write_tfrecord(path, RECORDS)
    data = bytearray(path.read_bytes())
    data[17] ^= 1  # The length of the second record.
    path.write_bytes(data)
    with pytest.raises(ValueError, match="length of record 1 fails its checksum"):
        record_spans(str(path))


def test_something_else_is_not_a_tfrecord_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="not a TFRecord file"):
        record_spans(str(path))
    length = struct.pack("<Q", 1 << 62)  # Right by its checksum, and absurd.
    path.write_bytes(length + struct.pack("<I", masked(length)))
    with pytest.raises(ValueError, match="file"):
        record_spans(str(path))


def test_a_missing_record_is_found(shards):
    shards[1].examples_in_shard = 2
    with pytest.raises(ValueError, match=r"shard1 holds 1 records, but .* says 2"):
        TFRecords(shards)
