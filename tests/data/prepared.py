"""Writes tiny TFDS directories, and TFRecord files with checksums of its own."""

import io
import json
import struct

from PIL import Image

CRC_POLYNOMIAL = 0x82F63B78


def crc32c(data):
    """CRC-32C bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ CRC_POLYNOMIAL * (crc & 1)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_tfrecord(path, records):
    with open(path, "wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + struct.pack("<I", masked(length)))
            file.write(record + struct.pack("<I", masked(record)))


def write_array_record(path, records):
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


WRITERS = {"tfrecord": write_tfrecord, "array_record": write_array_record}


def png(image):
    """An image [h, w, C] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return io.BytesIO(file.getvalue())


def serialized(features, example):
    """The example as TFDS stores it; images become PNG files, which TFDS leaves alone.

    TFDS itself would need TensorFlow to compress them. Files stay what they are.
    """
    example = dict(example)
    for name, value in example.items():
        kind = type(features[name]).__name__
        if kind.endswith("Image") and not isinstance(value, io.BytesIO):
            example[name] = png(value)
        elif kind == "Video":
            example[name] = [png(frame) for frame in value]
    return features.serialize_example(features.encode_example(example))


def write_dataset(root, features, splits, *, format="tfrecord", name="toy/1.0.0"):
    """Writes {split: list of shards, a shard being a list of examples}."""
    directory = root / name
    directory.mkdir(parents=True)
    features.save_config(str(directory))
    infos = []
    short = name.split("/")[0]
    for split, shards in splits.items():
        for i, shard in enumerate(shards):
            file = f"{short}-{split}.{format}-{i:05}-of-{len(shards):05}"
            records = [serialized(features, example) for example in shard]
            WRITERS[format](directory / file, records)
        infos.append(
            {
                "name": split,
                "shardLengths": [str(len(shard)) for shard in shards],
                "numBytes": "1",
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    info = {
        "name": short,
        "version": directory.name,
        "fileFormat": format,
        "splits": infos,
    }
    (directory / "dataset_info.json").write_text(json.dumps(info))
    return directory
