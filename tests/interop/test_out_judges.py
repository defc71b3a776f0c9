"""torch, timm, transformers and onnxruntime read our exports and say the same."""

import importlib.util
import json

import numpy as np
import pytest

from jax_ssl.encoders.class_tokens import ClassTokens
from jax_ssl.interop.out_hf import hf_parts
from jax_ssl.interop.out_onnx import onnx_model
from jax_ssl.interop.out_safetensors import write_safetensors
from jax_ssl.interop.out_state import Head, prepared, torch_state
from jax_ssl.interop.out_timm import timm_parts
from jax_ssl.interop.out_torch import write_torch
from jax_ssl.run.export_to import _folder
from tests.interop.taken import MOMENTS, VIT, features, taken

CASES = {
    "resnet18": ({"name": "resnet18", "zero_init_residual": False}, 64),
    "resnet50": ({"name": "resnet50"}, 64),
    "vit": (VIT, 16),
    "vit of fixed positions": ({**VIT, "positions": "sincos"}, 16),
    "vit with scales": ({**VIT, "layer_scale": 0.1}, 16),
    "vit with registers": ({**VIT, "layer_scale": 0.1, "registers": 2}, 16),
}
SELECTIVE = {"name": "resnet50", "stage_sizes": (1, 1), "sk_ratio": 0.0625}
MORE = {
    "convnet": ({"name": "convnet"}, 16),
    "selective": ({**SELECTIVE, "pool_padding": "same"}, 32),
    "group_ws": ({"name": "resnet18", "stage_sizes": (1,), "norm": "group_ws"}, 32),
    "bfloat16": ({**VIT, "dtype": "bfloat16"}, 16),
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
@pytest.mark.parametrize("case", [*CASES, *MORE])
def test_onnxruntime_says_the_same(case):
    needs("jax2onnx", "onnxruntime")
    import onnxruntime

    section, size = {**CASES, **MORE}[case]
    found = taken(section, size)
    model = onnx_model(found, prepared(found, found.encoder, "onnx"))
    session = onnxruntime.InferenceSession(model)
    for count in (1, 3):
        rng = np.random.default_rng(count)
        images = rng.random((count, size, size, 3), np.float32)
        moments = (np.float32(MOMENTS[name]) for name in ("mean", "std"))
        mean, std = moments
        there = found
        if section.get("dtype"):  # What is written computes in float32.
            there = taken({**section, "dtype": "float32"}, size)
        known = features(there, (images - mean) / std)
        vectors, grids = session.run(None, {"images": images})
        close(vectors, known.pooled)
        close(grids, known.grid)


@pytest.mark.slow
def test_onnxruntime_gives_the_probabilities_of_a_classifier():
    needs("jax2onnx", "onnxruntime")
    import onnxruntime

    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(3, 32)), rng.normal(size=3)
    head = Head(weight.astype(np.float32), bias.astype(np.float32), "abc")
    found = taken(VIT, 16, head, lambda encoder: ClassTokens(encoder, 1, True))
    model = onnx_model(found, prepared(found, found.encoder, "onnx"))
    session = onnxruntime.InferenceSession(model)
    images = rng.random((2, 16, 16, 3)).astype(np.float32)
    x = (images - np.float32(MOMENTS["mean"])) / np.float32(MOMENTS["std"])
    scores = features(found, x).pooled @ weight.T + bias
    known = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == ["a", "b", "c"]
    (said,) = session.run(None, {"images": images})
    close(said, known)
