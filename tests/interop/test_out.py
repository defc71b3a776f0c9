"""Exports in forms of other libraries, which are not needed: names, layouts, bytes."""

import io
import json
import pickle
import struct
import zipfile

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jax_ssl.encoders import ENCODERS
from jax_ssl.interop.importing import import_weights
from jax_ssl.interop.out_hf import hf_parts
from jax_ssl.interop.out_safetensors import write_safetensors
from jax_ssl.interop.out_state import Taken, head_of, torch_state
from jax_ssl.interop.out_timm import timm_parts
from jax_ssl.interop.out_torch import write_torch
from jax_ssl.run.export_to import _folder
from tests.interop.taken import VIT, taken

# --- Bytes ---------------------------------------------------------------------------

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # Not contiguous.
    "a": np.array(7, np.int64),
    "empty": np.zeros((0, 2), np.float32),
    "half": np.asarray(jax.numpy.arange(3, dtype=jax.numpy.bfloat16)),
}


def test_safetensors_are_a_length_a_header_and_bytes():
    file = io.BytesIO()
    write_safetensors(file, ARRAYS, {"card": "{}"})
    data = file.getvalue()
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"card": "{}"}
    kinds = {"F32": "<f4", "I64": "<i8", "BF16": "<u2"}
    ends = []
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        part = data[8 + length + first : 8 + length + last]
        values = np.frombuffer(part, kinds[entry["dtype"]]).reshape(entry["shape"])
        known = ARRAYS[name]
        known = known.view(np.uint16) if name == "half" else known
        np.testing.assert_array_equal(values, known)
        assert first % known.itemsize == 0
        ends.append(last)
    assert max(ends) == len(data) - 8 - length
    with pytest.raises(ValueError, match="complex64, which safetensors files have not"):
        write_safetensors(file, {"a": np.zeros(1, np.complex64)})


def test_a_torch_file_is_a_zip_of_a_pickle_and_bytes():
    file = io.BytesIO()
    write_torch(file, ARRAYS)
    archive = zipfile.ZipFile(file)
    assert archive.read("archive/version") == b"3\n"
    called = []

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            called.append(f"{module}.{name}")
            if name == "_rebuild_tensor_v2":
                return lambda *arguments: arguments
            return dict if name == "OrderedDict" else name

        def persistent_load(self, key):
            return key

    state = Reader(io.BytesIO(archive.read("archive/data.pkl"))).load()
    assert list(state) == list(ARRAYS)
    for number, (name, known) in enumerate(ARRAYS.items()):
        storage, offset, size, stride, gradient, hooks = state[name]
        kind = {"a": "Long", "half": "BFloat16"}.get(name, "Float")
        assert storage == (
            "storage", f"{kind}Storage", str(number), "cpu", known.size,
        )  # fmt: skip
        assert (offset, gradient, hooks, size) == (0, False, {}, known.shape)
        raw = archive.read(f"archive/data/{number}")
        assert raw == known.tobytes()
        steps = np.zeros(known.shape, np.int8).strides
        assert stride == steps or known.size == 0
    assert {*called} <= {
        "torch._utils._rebuild_tensor_v2", "torch.FloatStorage", "torch.LongStorage",
        "torch.BFloat16Storage", "collections.OrderedDict",
    }  # fmt: skip


# --- Names and layouts ---------------------------------------------------------------


def test_a_resnet_has_torchvisions_names_and_layouts():
    found = taken({"name": "resnet50", "stage_sizes": (1, 1)}, size=32)
    state = torch_state(found, "torch")
    # A state dict of 2 blocks of 3 layers, 2 shortcuts and the stem.
    assert len(state) == (2 * 3 + 2 + 1) * 6
    assert state["layer2.0.conv2.weight"].shape == (128, 128, 3, 3)
    assert state["layer1.0.downsample.1.num_batches_tracked"] == 0
    kernel = found.arrays["params/stage1_block0/conv1/kernel"]
    assert state["layer2.0.conv2.weight"][5, 3, 2, 1] == kernel[2, 1, 3, 5]
    var = found.arrays["batch_stats/stem_norm/var"]
    np.testing.assert_array_equal(state["bn1.running_var"], var)
    config, _, there = hf_parts(found)
    assert config["hidden_sizes"] == [256, 512]
    name = "encoder.stages.1.layers.0.layer.1.convolution.weight"
    np.testing.assert_array_equal(there[name], state["layer2.0.conv2.weight"])
    assert len(there) == len(state)


def test_a_file_of_our_own_names_is_told_from_those_of_other_libraries(tmp_path):
    path = tmp_path / "a.safetensors"
    with open(path, "wb") as file:
        write_safetensors(file, taken(VIT).arrays)
    with pytest.raises(ValueError, match=r"our own names.*writes it anew"):
        import_weights(path)
    np.savez(tmp_path / "a.npz", card="{}", **taken(VIT).arrays)
    with pytest.raises(ValueError, match="needs no import; name it as --encoder"):
        import_weights(tmp_path / "a.npz")


@pytest.mark.parametrize("bottleneck", [True, False])
def test_a_resnet_comes_back_from_a_folder_of_transformers(tmp_path, bottleneck):
    section = {"name": "resnet50", "stage_sizes": (2, 1), "bottleneck": bottleneck}
    found = taken(section, size=32)
    config, processor, state = hf_parts(found)
    files = {"config.json": config, "preprocessor_config.json": processor}
    _folder(tmp_path, "transformers", files, state, {})
    back = import_weights(tmp_path)
    assert back.certificate["family"] == "hf_resnet"
    assert back.card["encoder"]["stage_sizes"] == (2, 1)
    assert back.card["input"]["view"]["resize"] == found.told["view"]["resize"]
    jax.tree.map(np.testing.assert_array_equal, back.variables, dict(found.variables))
    # Strides are in no shape.
    config |= {"downsample_in_first_stage": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="downsample_in_first_stage = True is not"):
        import_weights(tmp_path)


def test_a_vit_has_timms_and_transformers_names():
    found = taken({**VIT, "layer_scale": 0.1, "registers": 3})
    config, state = timm_parts(found)
    assert config["model_args"]["reg_tokens"] == 3
    assert config["pretrained_cfg"]["crop_pct"] == 16 / 18
    arrays = found.arrays
    patch = arrays["params/patch_embed/kernel"]  # Rows, columns, channels of a patch.
    weight = state["patch_embed.proj.weight"]
    assert weight[7, 2, 3, 1] == patch[(3 * 4 + 1) * 3 + 2, 7]
    first = arrays["params/position_embed"][0] + arrays["params/class_token"][0]
    np.testing.assert_array_equal(state["cls_token"][0, 0], first)
    assert state["pos_embed"].shape == (1, 16, 16)
    assert state["blocks.1.ls2.gamma"].shape == (16,)
    config, processor, there = hf_parts(found)
    assert config["architectures"] == ["Dinov2WithRegistersModel"]
    assert processor["size"] == {"shortest_edge": 18}
    key = there["encoder.layer.0.attention.attention.key.weight"]
    qkv = arrays["params/block0/attention/qkv/kernel"]
    np.testing.assert_array_equal(key, qkv[:, 16:32].T)
    assert there["embeddings.position_embeddings"].shape == (1, 17, 16)


def test_fixed_positions_are_written_too():
    found = taken({**VIT, "positions": "sincos"})
    table = torch_state(found, "timm")["pos_embed"][0]
    assert (table[0] == 0).all()
    # MAE: sin(column), then cos(column), then those of the row; frequency 1 first.
    np.testing.assert_allclose(table[1 + 4 * 2 + 3, [0, 4]], [np.sin(3), np.cos(3)])


def test_a_norm_before_the_head_is_folded_into_it(rng):
    dense = {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)}
    norm = {"mean": rng.normal(size=4), "var": rng.uniform(0.5, 2, 4)}
    stats = {"head": {"batch_stats": {"norm": norm}}}
    head = head_of({"params": {"head": {"dense": dense}}, "stats": stats}, "abc")
    x = rng.normal(size=(5, 4))
    normed = (x - norm["mean"]) / np.sqrt(norm["var"] + 1e-6)
    known = normed @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(x @ head.weight.T + head.bias, known, atol=1e-5)


@pytest.mark.parametrize(
    ("parts", "section", "said"),
    [
        (timm_parts, {"name": "convnet"}, "timm: a ConvNet has no .* --to=onnx runs"),
        (hf_parts, {"name": "convnet"}, "--to=hf: a ConvNet has no counterpart"),
        (timm_parts, {"name": "resnet18", "stem": "small"}, "no stem of .* --to=torch"),
        (timm_parts, {"name": "resnet18", "width": 2}, "2 times as wide; .*--to=hf"),
        (
            hf_parts,
            {"name": "resnet18", "norm": "group_ws"},
            "norm = 'group_ws'",
        ),
        (
            hf_parts,
            {"name": "resnet18", "stem": "patches"},
            "'patches' and .*onnx runs",
        ),
        (timm_parts, {"name": "resnet18", "channels": 48}, "channels = 48 of .*onnx"),
        (hf_parts, {**VIT, "pool": "mean"}, "pool = 'mean'.*; --to=timm has"),
        (timm_parts, {**VIT, "norm_epsilon": 1e-5}, "1e-05 is not .*; --to=hf has it"),
        (timm_parts, {**VIT, "pool": "normed_mean"}, "'normed_mean'.*not written"),
        (timm_parts, {**VIT, "feed_forward": "swiglu"}, "feed_forward = 'swiglu' of"),
        (hf_parts, {**VIT, "registers": 2}, "have layer scale too; --to=timm"),
    ],
)
def test_what_has_no_counterpart_is_refused(parts, section, said):
    section = dict(section)
    encoder = ENCODERS[section.pop("name")](**section)
    with pytest.raises(ValueError, match=said):
        parts(Taken(encoder, {}, None, {"shape": [32, 32, 3]}))


@pytest.mark.parametrize(
    ("form", "section", "size"),
    [
        ("torch", {"name": "resnet18", "stage_sizes": (1, 1, 1, 1)}, 32),
        ("timm", {**VIT, "layer_scale": 0.1}, 16),
        ("hf", VIT, 16),
        ("hf", {**VIT, "layer_scale": 0.1}, 16),
    ],
)
def test_what_is_imported_back_is_equal_bit_for_bit(form, section, size, tmp_path):
    found = taken(section, size)
    if form == "torch":
        path = tmp_path / "a.pt"
        with path.open("wb") as file:
            write_torch(file, torch_state(found, "torch"))
    else:
        path = tmp_path / form
        parts = {"timm": timm_parts, "hf": hf_parts}[form](found)
        library = {"hf": "transformers"}.get(form, form)
        _folder(path, library, {"config.json": parts[0]}, parts[-1], {})
    vit = section["name"] == "vit"
    told = {} if vit else {"stage_sizes": section["stage_sizes"]}
    back = import_weights(path, heads=2 if vit else None, chosen=told)
    arrays = flatten_dict(back.variables, sep="/")
    kept = found.arrays
    assert set(kept) <= set(arrays)
    for name, known in kept.items():
        np.testing.assert_array_equal(arrays[name], known, err_msg=name)
    told = back.card["input"]
    if form != "torch":
        # Only Dinov2's mask token, which ours had not, is more.
        assert set(arrays) - set(kept) <= {"params/mask_embed"}
    assert told["shape"][-1] == 3


def test_a_folder_of_another_layout_is_left_alone(tmp_path):
    found = taken(VIT)
    config, processor, state = hf_parts(found)
    files = {"config.json": config, "preprocessor_config.json": processor}
    for _ in range(2):  # Over itself it may be written.
        _folder(tmp_path, "transformers", files, state, {})
    (tmp_path / ".gitattributes").touch()
    (tmp_path / "LICENSE").touch()
    before = (tmp_path / "config.json").read_bytes()
    config, state = timm_parts(found)
    with pytest.raises(ValueError, match=r"holds preprocessor_config\.json, which a"):
        _folder(tmp_path, "timm", {"config.json": config}, state, {})
    assert (tmp_path / "config.json").read_bytes() == before
    (tmp_path / "preprocessor_config.json").unlink()
    _folder(tmp_path, "timm", {"config.json": config}, state, {})


def test_what_torch_pools_otherwise_is_not_written_there():
    found = Taken(ENCODERS["resnet18"](pool_padding="same"), {}, None, {})
    for parts in (timm_parts, hf_parts):
        with pytest.raises(ValueError, match=r"pool_padding = 'same', .*--to=torch"):
            parts(found)
    found = Taken(ENCODERS["resnet50"](sk_ratio=0.0625), {}, None, {})
    with pytest.raises(ValueError, match=r"sk_ratio = 0\.0625 has no counterpart"):
        torch_state(found, "torch")
