"""Exports in other libraries' forms: names, layouts and bytes, without these libraries.

The slow tests have torch, timm, transformers and onnxruntime read them and compare the
features, each where it is installed.
"""

import functools
import importlib.util
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
from jax_ssl.encoders.class_tokens import ClassTokens
from jax_ssl.interop.importing import import_weights
from jax_ssl.interop.out_hf import hf_parts
from jax_ssl.interop.out_onnx import onnx_model
from jax_ssl.interop.out_safetensors import write_safetensors
from jax_ssl.interop.out_state import Head, Taken, head_of, prepared, torch_state
from jax_ssl.interop.out_timm import timm_parts
from jax_ssl.interop.out_torch import write_torch
from jax_ssl.run.export_to import _folder

VIT = {"name": "vit", "dim": 16, "depth": 2, "num_heads": 2, "patch": 4}
VIT |= {"image_size": 16}
MOMENTS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}


def taken(section, size=16, head=None, wrap=lambda encoder: encoder):
    """An encoder with random numbers in all of its arrays."""
    section = dict(section)
    encoder = wrap(ENCODERS[section.pop("name")](**section))
    x = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    init = functools.partial(encoder.init, train=False)
    rng = np.random.default_rng(0)

    def drawn(path, leaf):
        name = jax.tree_util.keystr(path)
        value = 0.2 * rng.standard_normal(leaf.shape)
        if "scale" in name or "var" in name:
            value = 1 + np.abs(value)
        elif "kernel" in name:
            value = value * 5 / np.sqrt(np.prod(leaf.shape[:-1]))
        return value.astype(np.float32)

    abstract = jax.eval_shape(init, jax.random.key(0), x)
    variables = jax.tree_util.tree_map_with_path(drawn, abstract)
    view = {"name": "center_crop", "size": size, "resize": size + 2}
    told = {"shape": [size, size, 3], "view": view, **MOMENTS}
    return Taken(encoder, variables, head, told)


def features(found, x):
    """Our features of standardised images [B, H, W, C]."""
    apply = jax.jit(functools.partial(found.encoder.apply, train=False))
    return jax.tree.map(np.asarray, apply(found.variables, x))


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
    heads = 2 if section["name"] == "vit" else None
    back = import_weights(path, heads=heads)
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


# --- Judges --------------------------------------------------------------------------

CASES = {
    "resnet18": ({"name": "resnet18", "zero_init_residual": False}, 64),
    "resnet50": ({"name": "resnet50"}, 64),
    "vit": (VIT, 16),
    "vit of fixed positions": ({**VIT, "positions": "sincos"}, 16),
    "vit with scales": ({**VIT, "layer_scale": 0.1}, 16),
    "vit with registers": ({**VIT, "layer_scale": 0.1, "registers": 2}, 16),
}
MEAN = ({**VIT, "pool": "mean", "registers": 1}, 16)


def needs(*modules):
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if "torch" in modules:  # It makes torchvision import, which the others need.
        importlib.import_module("tests.references.record_torch")


def close(found, known):
    assert found.shape == known.shape
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-5 * known.std())


def pixels(size):
    x = np.random.default_rng(1).standard_normal((2, size, size, 3))
    return x.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, "mean"])
def test_timm_says_the_same(case, tmp_path):
    needs("torch", "timm")
    import timm
    import torch

    section, size = {**CASES, "mean": MEAN}[case]
    found = taken(section, size)
    config, state = timm_parts(found)
    _folder(tmp_path, "timm", {"config.json": config}, state, {})
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = pixels(size)
    known = features(found, x)
    with torch.no_grad():
        close(model(torch.tensor(x.transpose(0, 3, 1, 2))).numpy(), known.pooled)
    seen = timm.data.resolve_model_data_config(model)
    assert seen["crop_pct"] == size / (size + 2)
    assert [*seen["mean"]] == MOMENTS["mean"]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_transformers_say_the_same(case, tmp_path):
    needs("torch", "transformers")
    import torch
    from transformers import AutoImageProcessor, AutoModel

    section, size = CASES[case]
    found = taken(section, size)
    config, processor, state = hf_parts(found)
    files = {"config.json": config, "preprocessor_config.json": processor}
    _folder(tmp_path, "transformers", files, state, {})
    model, told = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    lacking = {name for name in told["missing_keys"] if "pooler" not in name}
    assert not lacking
    assert not told["unexpected_keys"]
    x = pixels(size)
    known = features(found, x)
    with torch.no_grad():
        out = model.eval()(torch.tensor(x.transpose(0, 3, 1, 2)))
    if "resnet" in case:
        close(out.pooler_output.flatten(1).numpy(), known.pooled)
        return
    tokens = out.last_hidden_state.numpy()
    close(tokens[:, 0], known.pooled)
    close(tokens[:, -16:].reshape(known.grid.shape), known.grid)
    # What the processor makes of a picture is what our frame and view make of it.
    from jax_ssl.data.given import Frame

    picture = np.random.default_rng(2).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    read = AutoImageProcessor.from_pretrained(tmp_path)
    there = read(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    own, _ = Frame(sides=(size, size), resize=size + 2).read(picture)
    own = (own / 255 - MOMENTS["mean"]) / MOMENTS["std"]
    # Their resize may be torchvision's, a grey level or two away from Pillow's.
    assert np.abs(there - own).mean() < 0.01


@pytest.mark.slow
def test_classifiers_of_timm_and_transformers_say_the_same(tmp_path):
    needs("torch", "timm", "transformers")
    import timm
    import torch
    from transformers import AutoModelForImageClassification as Auto

    rng = np.random.default_rng(3)
    cases = [
        ({**VIT}, 16, lambda e: e, 16),
        ({"name": "resnet18"}, 64, lambda e: e, 512),
        ({**VIT, "layer_scale": 0.1}, 16, lambda e: ClassTokens(e, 1, True), 32),
    ]
    for i, (section, size, wrap, width) in enumerate(cases):
        weight, bias = rng.normal(size=(3, width)), rng.normal(size=3)
        head = Head(weight.astype(np.float32), bias.astype(np.float32), "abc")
        found = taken(section, size, head, wrap)
        x = pixels(size)
        known = features(found, x).pooled @ head.weight.T + head.bias
        images = torch.tensor(x.transpose(0, 3, 1, 2))
        config, processor, state = hf_parts(found)
        files = {"config.json": config, "preprocessor_config.json": processor}
        folder = tmp_path / f"hf{i}"
        _folder(folder, "transformers", files, state, {"what": "classifier"})
        model = Auto.from_pretrained(folder).eval()
        with torch.no_grad():
            close(model(images).logits.numpy(), known)
        assert model.config.id2label[2] == "c"
        if i == 2:
            with pytest.raises(ValueError, match="a head on several tokens"):
                timm_parts(found)
            continue
        config, state = timm_parts(found)
        _folder(tmp_path / f"timm{i}", "timm", {"config.json": config}, state, {})
        where = f"local-dir:{tmp_path / f'timm{i}'}"
        with torch.no_grad():
            model = timm.create_model(where, pretrained=True).eval()
            close(model(images).numpy(), known)


@pytest.mark.slow
@pytest.mark.parametrize("section", [{"name": "resnet18", "stem": "small"}, {**VIT}])
def test_torch_reads_our_files(section, tmp_path):
    needs("torch", "torchvision", "timm", "safetensors")
    import safetensors.torch
    import torch
    import torchvision

    found = taken(section, 16)
    state = torch_state(found, "torch")
    with open(tmp_path / "a.pt", "wb") as file:
        write_torch(file, state)
    with open(tmp_path / "a.safetensors", "wb") as file:
        write_safetensors(file, state)
    read = torch.load(tmp_path / "a.pt", weights_only=True)
    same = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert list(read) == list(state)
    for name, known in state.items():
        np.testing.assert_array_equal(read[name].numpy(), known)
        np.testing.assert_array_equal(same[name].numpy(), known)
    if section["name"] == "resnet18":
        model = torchvision.models.resnet18()
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = model.fc = torch.nn.Identity()
        model.load_state_dict(read, strict=True)
        x = pixels(16)
        with torch.no_grad():
            own = model.eval()(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
        close(own, features(found, x).pooled)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, "convnet"])
def test_onnxruntime_says_the_same(case):
    needs("jax2onnx", "onnxruntime")
    import onnxruntime

    section, size = {**CASES, "convnet": ({"name": "convnet"}, 16)}[case]
    found = taken(section, size)
    model = onnx_model(found, prepared(found, found.encoder, "onnx"))
    session = onnxruntime.InferenceSession(model)
    for count in (1, 3):
        rng = np.random.default_rng(count)
        images = rng.random((count, size, size, 3), np.float32)
        moments = (np.float32(MOMENTS[name]) for name in ("mean", "std"))
        mean, std = moments
        known = features(found, (images - mean) / std)
        vectors, grids = session.run(None, {"images": images})
        close(vectors, known.pooled)
        close(grids, known.grid)
