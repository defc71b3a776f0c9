"""Reading files of weights: as their writers meant them, and never running them."""

import json
import pathlib
import pickle
import sys
import types
import unittest.mock
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.interop.files import read_weights
from tests.interop import by_hand

RECORDS = pathlib.Path(__file__).parent / "records"
WHOLE = np.arange(24, dtype=np.float32).reshape(4, 6)
# What `record_files` wrote. All are exact in bfloat16.
SAID = {
    "plain": WHOLE,
    "turned": WHOLE.T,
    "column": WHOLE[:, 2],
    "tail": np.arange(4, 10, dtype=np.float32),
    "head": np.arange(4, dtype=np.float32),
    "half": WHOLE,
    "bfloat": WHOLE,
    "double": WHOLE.astype(np.float64),
    "long": np.arange(3),
    "bool": np.array([True, False]),
    "scalar": np.float32(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "repeated": np.ones((2, 3), np.float32),
    "parameter": np.arange(2, dtype=np.float32),
}


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "torch.safetensors"])
def test_files_written_by_torch_hold_what_they_were_given(name):
    found = read_weights(RECORDS / name).arrays
    prefix = "" if name.endswith("safetensors") else "state_dict."
    for key, value in SAID.items():
        array = found.pop(prefix + key).load()
        assert array.dtype == np.asarray(value).dtype, key
        assert array.flags.writeable
        np.testing.assert_array_equal(array, value, err_msg=key)
    assert sorted(found) == ([] if not prefix else ["optimizer.state.0.exp_avg"])


def test_checkpoint_of_tensorflow_is_read_without_it():
    found = read_weights(RECORDS / "model.ckpt-5").arrays
    kernel = np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2)
    said = {
        "base_model.conv2d.kernel": kernel,
        "base_model.batch_normalization.moving_variance": kernel[0, 0, 0],
        "global_step": np.int64(5),
    }
    assert sorted(found) == sorted(said)
    for name, value in said.items():
        np.testing.assert_array_equal(found[name].load(), value)


def test_npz_with_bfloat16_and_nested_names(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{"params/a/b": WHOLE.astype(jnp.bfloat16), "c": np.arange(3)})
    found = read_weights(path).arrays
    np.testing.assert_array_equal(found["params.a.b"].load(), WHOLE)
    np.testing.assert_array_equal(found["c"].load(), np.arange(3))


def test_npz_of_objects_is_refused_unread(tmp_path):
    path, ran = tmp_path / "a.npz", tmp_path / "ran"
    np.savez(path, a=np.array([Harm(ran)], object))
    with pytest.raises(ValueError, match="a is of type object"):
        read_weights(path)
    assert not ran.exists()


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "system"),
        ("builtins", "eval"),
        ("numpy.testing._private.utils", "runstring"),
        ("torch.nn.modules.linear", "Linear"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("functools", "partial"),
        ("collections", "Counter"),
        ("argparse", "ArgumentParser"),
    ],
)
def test_malicious_pickles_are_refused_by_name_and_nothing_runs(tmp_path, module, name):
    ran = tmp_path / "ran"
    opcodes = by_hand.mapping({"a": by_hand.call(module, name, f"touch {ran}")})
    files = [
        by_hand.write_zip(tmp_path / "a.pth", opcodes),
        by_hand.save_legacy(tmp_path / "b.pth", opcodes),
    ]
    for path in files:
        with pytest.raises(
            ValueError, match=rf"refused: it calls {module}\.{name},"
        ) as e:
            read_weights(path)
        # Nobody is told how to run what only an attack would call.
        attack = module in ("posix", "builtins")
        assert ("weights_only=False" in str(e.value)) == (not attack)
    assert not ran.exists()


def test_plain_pickles_are_refused_with_the_way_to_convert(tmp_path):
    path, ran = tmp_path / "a.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"a": Harm(ran)}))
    with pytest.raises(
        ValueError, match=r"could run any code.*torch\.save\(m\.state_dict\(\) if"
    ):
        read_weights(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("script.pt", r"is TorchScript.*torch\.jit\.load.*m\.state_dict\(\)"),
        ("module.pth", r"calls torch\.nn\.modules\.linear\.Linear.*torch\.save"),
    ],
)
def test_programs_of_torch_are_refused_with_the_way_to_convert(name, said):
    with pytest.raises(ValueError, match=said):
        read_weights(RECORDS / name)


@pytest.mark.parametrize(
    "harm",
    [
        # Fields set on a stand-in, by each way that a pickle has.
        b"ctorch._utils\n_rebuild_tensor_v2\n}(X\x01\x00\x00\x00aK\x01ub",
        b"ctorch\nSize\nN}(X\x04\x00\x00\x00nameX\x01\x00\x00\x00xu\x86b",
        b"ctorch\nFloatStorage\n}(X\x01\x00\x00\x00aK\x01ub",
        b"ccollections\nOrderedDict\nN}(X\x04\x00\x00\x00copyK\x01u\x86b",
    ],
)
def test_no_pickle_changes_what_the_next_one_is_read_with(tmp_path, harm):
    with pytest.raises(ValueError, match="damaged"):
        read_weights(by_hand.write_zip(tmp_path / "a.pth", harm))
    again = by_hand.save_zip(tmp_path / "b.pth", {"a": WHOLE})
    np.testing.assert_array_equal(read_weights(again).arrays["a"].load(), WHOLE)


def test_what_is_done_to_a_namespace_ends_with_its_file(tmp_path):
    harm = b"cargparse\nNamespace\nN}(X\x04\x00\x00\x00evilK\x01u\x86b"
    for name in ("a.pth", "b.pth"):
        opcodes = by_hand.mapping({"args": harm, "w": by_hand.state_dict({})[0]})
        with pytest.raises(ValueError, match="holds no arrays"):
            read_weights(by_hand.write_zip(tmp_path / name, opcodes))
    import argparse

    assert not hasattr(argparse.Namespace, "evil")


@pytest.mark.parametrize("keep", [0.02, 0.4, 0.8, 0.99])
@pytest.mark.parametrize(
    "name", ["zip.pth", "legacy.pth", "torch.safetensors", "model.ckpt-5.index"]
)
def test_files_cut_short_are_said_to_be(tmp_path, name, keep):
    data = (RECORDS / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ValueError, match=r"damaged|cut short|bytes|TensorFlow \("):
        read_weights(path)


BOMBS = {
    "beyond the storage": {"count": 4, "shape": (10**6,), "strides": (1,)},
    "repeated for ever": {"count": 4, "shape": (10**9, 10**9), "strides": (0, 0)},
    "negative": {"count": 4, "shape": (-1,), "strides": (1,)},
    "offset": {"count": 4, "shape": (4,), "strides": (1,), "offset": 1},
    "strides": {"count": 4, "shape": (2, 2), "strides": (4, 1)},
    "too few strides": {"count": 4, "shape": (2, 2), "strides": (1,)},
    "storage": {"count": 10**12, "shape": (4,), "strides": (1,)},
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_arrays_larger_than_their_storage_are_refused_unread(tmp_path, bomb):
    opcodes = by_hand.mapping({"a": by_hand.tensor("0", "FloatStorage", **BOMBS[bomb])})
    storages = {"0": bytes(16)}
    for path in (
        by_hand.write_zip(tmp_path / "a.pth", opcodes, storages),
        by_hand.save_legacy(tmp_path / "b.pth", opcodes, storages),
    ):
        with pytest.raises(ValueError, match=r"declare|describe|elements"):
            read_weights(path)


def test_compressed_archives_are_refused(tmp_path):
    opcodes, storages = by_hand.state_dict({"a": np.zeros((9, 9), np.float32)})
    path = by_hand.write_zip(
        tmp_path / "a.pth", opcodes, storages, compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(ValueError, match="is compressed, which torch never does"):
        read_weights(path)


def header(**entry):
    text = json.dumps({"a": entry}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(16)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", "a web page and not the weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08\x00", "compressed archive"),
        (b"hello, these are no weights", "What is read: safetensors"),
        ((2**40).to_bytes(8, "little") + b"{}", "declares a header of"),
        ((4).to_bytes(8, "little") + b"{{{{", "damaged header"),
        (header(dtype="F8_E4M3", shape=[4], data_offsets=[0, 4]), "F8_E4M3.*F32"),
        (header(dtype="F32", shape=[9], data_offsets=[0, 16]), "needs 36 bytes"),
        (header(dtype="F32", shape=[9], data_offsets=[0, 36]), "cut short"),
        (header(dtype="F32", shape=[4]), "damaged header"),
    ],
)
def test_what_is_no_file_of_weights_is_told_what_it_is(tmp_path, data, said):
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=said):
        read_weights(path)


def test_folders_of_the_hub_are_read_with_their_shards_and_config(tmp_path):
    data = (RECORDS / "torch.safetensors").read_bytes()
    (tmp_path / "model-00001-of-00001.safetensors").write_bytes(data)
    index = {"weight_map": {"plain": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    found = read_weights(tmp_path)
    np.testing.assert_array_equal(found.arrays["plain"].load(), WHOLE)
    assert found.config == {"model_type": "vit"}
    (tmp_path / "model-00001-of-00001.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="which is not there"):
        read_weights(tmp_path)
    with pytest.raises(ValueError, match="holds none of model"):
        read_weights(RECORDS)


def test_shards_are_read_together_or_not_at_all(tmp_path):
    data = (RECORDS / "torch.safetensors").read_bytes()
    part = tmp_path / "model-00001-of-00002.safetensors"
    part.write_bytes(data)
    with pytest.raises(ValueError, match="is one of 2 files of a network; name the"):
        read_weights(part)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"plain": part.name, "b": part.name}}))
    with pytest.raises(ValueError, match=r"lists b in model-00001-of-00002\."):
        read_weights(tmp_path)
    index.write_text("{}")
    with pytest.raises(ValueError, match="has no weight_map"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("https://host/a.pth", r"https://host/a\.pth is an address, .*curl"),
        ("facebook/dino-vits16", "hf download facebook/dino-vits16 --local-dir"),
        ("absent.pth", r"no file absent\.pth to import\.$"),
    ],
)
def test_what_is_no_file_is_told_apart(path, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        read_weights(path)


def test_a_checkpoint_of_byol_is_refused_with_the_way_that_reads_it(tmp_path):
    """The code that is told is run here on a stand-in of that program."""
    state = {"online_params": {"net/~/conv": {"w": WHOLE}}, "online_state": {}}
    held = {"experiment_state": types.SimpleNamespace(**state), "of": "byol"}
    path = tmp_path / "byol.pkl"
    path.write_bytes(pickle.dumps(held, 2))
    with pytest.raises(ValueError, match=r"a pickle .*BYOL's program") as error:
        read_weights(path)
    code = str(error.value).split('python -c "')[1].rstrip('"')
    code = code.replace("byol.npz", str(tmp_path / "byol.npz"))
    with unittest.mock.patch.dict(sys.modules, dill=pickle):
        exec(code, {})
    np.testing.assert_array_equal(np.load(tmp_path / "byol.npz")["net/~/conv/w"], WHOLE)


def test_a_zip_archive_of_another_version_is_damaged(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=WHOLE)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 170  # The version that reading needs.
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged zip archive.* 17\.0"):
        read_weights(path)
