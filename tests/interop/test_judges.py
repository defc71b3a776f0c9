"""Files in all formats of torch, beside the features of the library that wrote them.

It runs where torch, torchvision, timm, transformers and safetensors are installed.
"""

import importlib.util

import numpy as np
import pytest

from jax_ssl.cli import main
from jax_ssl.interop.importing import import_weights
from jax_ssl.interop.verify import NEEDED, verified
from tests.interop.families import filled, recorded
from tests.interop.test_families import ASKED, CASES, write

pytestmark = [
    pytest.mark.slow,
    *(
        pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
        )
        for name in NEEDED
    ),
]


def save(path, arrays, form):
    import torch
    from safetensors.torch import save_file

    state = {name: torch.tensor(value) for name, value in arrays.items()}
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    return path


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("case", [c for c in CASES if not c.startswith(("hf_", "big"))])
def test_every_format_verifies(tmp_path, case, form):
    path = save(tmp_path / "a", filled(recorded()[case]["shapes"]), form)
    found = import_weights(path, heads=2, **ASKED.get(case, {}))
    if "stem" in found.card["encoder"]:
        found.card["input"]["shape"] = [64, 48, 3]
    said = verified(found)
    assert said["judge"] in ("torchvision", "timm")
    assert all(x["of_spread"] <= 2e-5 for x in said["differences"].values())


@pytest.mark.parametrize("case", ["big_vision", "big_vision_old"])
def test_arrays_of_google_verify(tmp_path, case):
    assert verified(import_weights(write(tmp_path, case)))["judge"] == "timm"


@pytest.mark.parametrize("form", ["folder", "state dict"])
@pytest.mark.parametrize(
    "name", ["ViT", "Dinov2", "Dinov2WithRegisters", "ViTMAE", "DINOv3ViT"]
)
def test_folders_of_transformers_verify(tmp_path, name, form):
    from jax_ssl.interop.judges import declare_torchvision_ops

    declare_torchvision_ops()
    import torch
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 64, "image_size": 16, "patch_size": 4}
    config = getattr(transformers, f"{name}Config")(**sizes)
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path)
    found = import_weights(tmp_path)
    assert verified(found)["judge"] == "transformers"
    if form == "state dict":  # Whose names are others since transformers 5.
        torch.save(model.state_dict(), tmp_path / "a.pth")
        again = import_weights(tmp_path / "a.pth")
        assert again.card["encoder"] == found.card["encoder"]
        assert verified(found._replace(variables=again.variables))


def test_wrong_weights_do_not_verify(tmp_path, capsys):
    path = save(tmp_path / "a.pth", filled(recorded()["timm"]["shapes"]), "zip")
    asked = ["import", str(path), "--heads=4", "--verify"]
    assert main([*asked, f"--output={tmp_path}/a.npz"]) == 0
    assert "verified with timm on 10 images" in capsys.readouterr().out
    more = ["--set=activation=gelu_tanh", "--set=norm_epsilon=1e-5"]
    found = import_weights(path, heads=4)
    wrong = found._replace(encoder=found.encoder.clone(num_heads=2))
    with pytest.raises(ValueError, match="which is more than 1e-04"):
        verified(wrong)
    assert main([*asked, *more, f"--output={tmp_path}/b.npz"]) == 0


def test_simclr_of_tensorflow_is_torchvisions_network_with_another_pool(tmp_path):
    import torch

    from jax_ssl.interop.judges import declare_torchvision_ops
    from tests.interop.test_families import features
    from tests.references.encoders_torch import fill, image

    declare_torchvision_ops()
    import torchvision

    model = torchvision.models.resnet50()
    model.fc = torch.nn.Identity()
    model.maxpool = torch.nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    state = {n: fill(n, tuple(v.shape)) for n, v in model.state_dict().items()}
    state = {n: v for n, v in state.items() if "num_batches" not in n}
    model.load_state_dict({n: torch.tensor(v) for n, v in state.items()}, strict=False)
    # The order of the released code: a block makes its shortcut first.
    layers = [("conv1", "bn1")]
    for stage in range(1, 5):
        for block, module in enumerate(getattr(model, f"layer{stage}")):
            at = f"layer{stage}.{block}"
            if module.downsample is not None:
                layers.append((f"{at}.downsample.0", f"{at}.downsample.1"))
            layers += [(f"{at}.conv{i}", f"{at}.bn{i}") for i in (1, 2, 3)]
    arrays = {"global_step": np.int64(1)}
    leaves = {"gamma": "weight", "beta": "bias"}
    leaves |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    for i, (conv, norm) in enumerate(layers):
        number = f"_{i}" if i else ""
        kernel = state[f"{conv}.weight"].transpose(2, 3, 1, 0)
        arrays[f"base_model/conv2d{number}/kernel"] = kernel
        arrays[f"base_model/conv2d{number}/kernel/Momentum"] = kernel[0, 0, 0]
        for ours, theirs in leaves.items():
            name = f"base_model/batch_normalization{number}/{ours}"
            arrays[name] = state[f"{norm}.{theirs}"]
    arrays["head_contrastive/nl_0/dense/kernel"] = np.ones((2, 2), np.float32)
    np.savez(tmp_path / "a.npz", **arrays)
    found = import_weights(tmp_path / "a.npz")
    assert found.certificate["family"] == "simclr"
    assert found.card["input"]["mean"] is None
    x = image(2, 64, 64)
    with torch.no_grad():
        said = model.eval()(torch.tensor(x.transpose(0, 3, 1, 2).copy())).numpy()
    pooled = np.asarray(features(found, x).pooled)
    np.testing.assert_allclose(pooled, said, rtol=0, atol=2e-5 * said.std())
