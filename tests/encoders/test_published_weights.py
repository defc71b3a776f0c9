"""Our encoders under torch's weights: torchvision's ResNet and timm's ViT agree.

The recorded half runs everywhere; the live half where the judges are installed.
"""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.paths import map_named
from jax_ssl.encoders import ENCODERS
from tests.encoders.recorded import RECORDED
from tests.references import encoders_torch as torch_names
from tests.references.encoders_cases import RESNETS, VITS

CASES = [("resnet", name) for name in RESNETS] + [("vit", name) for name in VITS]


@functools.cache
def ours(family: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pooled and grid of our encoder with the weights of the formula."""
    case = dict({"resnet": RESNETS, "vit": VITS}[family][name])
    x = torch_names.image(2, *case.pop("size"))
    if family == "resnet":
        encoder = ENCODERS[f"resnet{case.pop('layers')}"](**case)
        name_of = torch_names.resnet_name
    else:
        encoder = ENCODERS["vit"](dim=192, num_heads=3, **case)
        final_norm = "fc_norm" if encoder.pool == "mean" else "norm"
        name_of = functools.partial(torch_names.vit_name, final_norm=final_norm)

    def leaf(path: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        torch_name = name_of(path)
        if getattr(encoder, "registers", 0) and torch_name == "pos_embed":
            # timm gives the class token no position when there are registers.
            rest = (leaf.shape[0] - 1, leaf.shape[1])
            value = torch_names.from_torch(torch_name, rest)
            return np.concatenate([np.zeros((1, leaf.shape[1]), np.float32), value])
        return torch_names.from_torch(torch_name, leaf.shape, case.get("patch", 0))

    abstract = jax.eval_shape(
        functools.partial(encoder.init, train=False), jax.random.key(0), x
    )
    variables = {kind: map_named(leaf, tree) for kind, tree in abstract.items()}
    features = jax.jit(functools.partial(encoder.apply, train=False))(variables, x)
    assert features.pooled.dtype == jnp.float32
    return np.asarray(features.pooled), np.asarray(features.grid)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_features_are_the_recorded_ones(family, name):
    recorded = RECORDED[family, name]
    for kind, value in zip(("pooled", "grid"), ours(family, name), strict=True):
        said = np.asarray(recorded[kind])
        scale = said[1]  # The standard deviation of the features.
        found = torch_names.digest(value)
        np.testing.assert_allclose(found, said, rtol=0, atol=1e-5 * scale, err_msg=kind)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_features_are_those_of_torch(family, name):
    for module in ("torch", "torchvision", "timm"):
        # Not `importorskip`: torchvision may need `record_torch` before its import.
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    from tests.references import record_torch

    case = {"resnet": RESNETS, "vit": VITS}[family][name]
    said = getattr(record_torch, family)(**case)
    for value, reference in zip(ours(family, name), said, strict=True):
        assert value.shape == reference.shape
        np.testing.assert_allclose(
            value, reference, rtol=0, atol=2e-5 * reference.std()
        )
