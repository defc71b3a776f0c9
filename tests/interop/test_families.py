"""Features of imported weights are those of the libraries that read them themselves.

`record_families` has written down what torchvision, timm and transformers say.
"""

import functools
import json

import jax
import numpy as np
import pytest

from jax_ssl.interop.importing import import_weights
from tests.interop import by_hand
from tests.interop.families import filled, recorded
from tests.references.encoders_torch import digest, image

# How a case is asked for, and the size of its images, where they are not 16 x 16.
HEADS = {"heads": 2}
ONE, TWO = ({"chosen": {"stage_sizes": (1,) * n}} for n in (1, 2))
ASKED = {
    "timm_map": {"chosen": {"activation": "gelu_tanh"}},
    "torchvision": ONE,
    **dict.fromkeys(("moco", "swav", "simsiam", "barlow_twins"), TWO),
}
SIZES = {
    **dict.fromkeys(("torchvision", "moco", "swav", "simsiam"), (32, 40)),
    **dict.fromkeys(("timm_resampled", "hf_vit", "hf_dinov2_registers"), (24, 12)),
    **dict.fromkeys(("dinov3", "hf_dinov3", "barlow_twins"), (16, 24)),
    "hf_dinov2": (24, 24),
}
READ_AS = {
    **{"timm_resampled": "timm", "timm_map": "timm", "big_vision_old": "big_vision"},
    "hf_dinov2_registers": "hf_dinov2",
}
CASES = (
    *("torchvision", "moco", "swav", "simsiam", "barlow_twins"),
    *("timm", "timm_resampled", "timm_map", "dino", "mae", "moco_v3"),
    *("dinov2", "dinov3", "hf_vit", "hf_dinov2", "hf_dinov2_registers"),
    *("hf_mae", "hf_dinov3", "big_vision", "big_vision_old"),
)


def save_safetensors(path, arrays):
    """A safetensors file, written by hand."""
    header, data = {}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        dtype = {"float32": "F32", "int64": "I64"}[array.dtype.name]
        place = [len(data), len(data) + len(raw)]
        shape = list(array.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": place}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def write(folder, case):
    """The file of a case, by the reader that such files need."""
    arrays = filled(recorded()[case]["shapes"])
    if case.startswith("big_vision"):
        np.savez(folder / "a.npz", **arrays)
        return folder / "a.npz"
    if case.startswith("hf_"):
        config = recorded()[case]["config"]
        (folder / "config.json").write_text(json.dumps(config))
        save_safetensors(folder / "model.safetensors", arrays)
        return folder
    return by_hand.save_zip(folder / "a.pth", arrays)


def features(found, x):
    apply = functools.partial(found.encoder.apply, train=False)
    with jax.default_matmul_precision("highest"):
        return jax.jit(apply)(found.variables, x)


# Every component is in one of these; the others differ in names.
QUICK = ("moco", "dinov2", "dinov3", "big_vision")
MARKED = [
    case if case in QUICK else pytest.param(case, marks=pytest.mark.slow)
    for case in CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_features_are_those_of_the_library_that_reads_the_file(tmp_path, case):
    said = recorded()[case]
    path = write(tmp_path, case)
    asked = {} if case.startswith(("hf_", "big_vision")) else HEADS
    found = import_weights(path, **asked, **ASKED.get(case, {}))
    assert found.certificate["family"] == READ_AS.get(case, case)
    assert not found.certificate["left_over"]["unknown"]
    seen = features(found, image(2, *SIZES.get(case, (16, 16))))
    wanted = np.asarray(said["pooled"])
    pooled = np.asarray(seen.pooled)[:, : wanted.shape[1]]
    np.testing.assert_allclose(pooled, wanted, rtol=0, atol=1e-5 * said["spread"][0])
    np.testing.assert_allclose(
        digest(seen.grid), said["grid"], rtol=0, atol=1e-5 * said["spread"][1]
    )
