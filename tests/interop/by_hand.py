"""Torch's files written without torch, and pickles that mean harm."""

import pickle
import zipfile

import numpy as np

WORDS = {"float32": "FloatStorage", "int64": "LongStorage"}


def text(word):
    data = word.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def whole(number):
    return b"\x8a\x08" + int(number).to_bytes(8, "little", signed=True)


def numbers(values):
    return b"(" + b"".join(map(whole, values)) + b"t"


def tensor(key, word, count, shape, strides, offset=0):
    """Opcodes that build a tensor over a storage."""
    storage = b"(" + text("storage") + f"ctorch\n{word}\n".encode()
    storage += text(key) + text("cpu") + whole(count) + b"tQ"
    called = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + whole(offset)
    hooks = b"ccollections\nOrderedDict\n)R"
    return called + numbers(shape) + numbers(strides) + b"\x89" + hooks + b"tR"


def mapping(items):
    """Opcodes of a dictionary whose values are given as opcodes."""
    pairs = b"".join(text(name) + value for name, value in items.items())
    return b"}(" + pairs + b"u"


def pickled(opcodes):
    return b"\x80\x02" + opcodes + b"."


def write_zip(path, opcodes, storages=(), root="archive", **more):
    """A zip archive as torch's: the pickle, and raw storages by key."""
    with zipfile.ZipFile(path, "w", **more) as archive:
        archive.writestr(f"{root}/data.pkl", pickled(opcodes))
        for key, data in dict(storages).items():
            archive.writestr(f"{root}/data/{key}", data)
    return path


def state_dict(arrays):
    """Opcodes of a state dict of contiguous arrays, and the storages' bytes."""
    items, storages = {}, {}
    for i, (name, array) in enumerate(arrays.items()):
        array = np.ascontiguousarray(array)
        strides = [n // array.itemsize for n in array.strides]
        word = WORDS[array.dtype.name]
        items[name] = tensor(str(i), word, array.size, array.shape, strides)
        storages[str(i)] = array.tobytes()
    return mapping(items), storages


def save_zip(path, arrays):
    """What `torch.save` makes of a state dict."""
    return write_zip(path, *state_dict(arrays))


def save_legacy(path, opcodes, storages=()):
    """What torch before 1.6 made of it; a storage's elements have four bytes."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    data = b"".join(pickle.dumps(part, 2) for part in parts)
    data += pickled(opcodes) + pickle.dumps(list(dict(storages)), 2)
    for raw in dict(storages).values():
        data += (len(raw) // 4).to_bytes(8, "little") + raw
    path.write_bytes(data)
    return path


def call(module, name, argument):
    """Opcodes that call a function with one word."""
    return f"c{module}\n{name}\n(".encode() + text(argument) + b"tR"
