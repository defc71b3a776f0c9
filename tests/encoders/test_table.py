"""Laws of every encoder in the table, without running any of them at size."""

import functools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.config.bind import bind, resolve, schema
from jax_ssl.core.trees import count
from jax_ssl.encoders import ENCODERS
from jax_ssl.encoders.conv import KERNEL_INITS, KernelInit
from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.vit import SCHEMES, ViT
from jax_ssl.nn.apply import forward
from jax_ssl.nn.depth import POLICIES
from tests.encoders.draws import random_variables

# The published counts, without a classifier. AlexNet's is the sum over its kernels:
# 11 * 11 * 3 * 96 + 25 * 96 * 256 + 9 * (256 * 384 + 384 * 384 + 384 * 256), and two
# numbers of batch norm for each of 1,376 channels.
DISPNET = 14_294_560  # Two kernels and biases a level: 7 x 7, 5 x 5, then 3 x 3.
COUNTS = {
    "alexnet": 3_748_576,
    "dispnet": DISPNET,
    "monodepth_vgg": DISPNET,
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
    "resnet152": 58_143_808,
    # 9 C W + W and 9 W W + W of each level, C the channels of the one before.
    "unet": 18_843_200,
    "vit_ti": 5_524_416,
    "vit_s": 21_665_664,
    "vit_b": 85_798_656,
    "vit_l": 303_301_632,
    "vit_h": 630_764_800,
}
SMALL = {
    "dispnet": {"widths": (4, 6), "kernels": (5,), "norm": "batch"},
    "alexnet": {"widths": (4, 6, 5), "kernel": 3, "stride": 1, "pools": (1,)},
    "convnet": {"widths": (4, 6)},
    "dcgan": {"widths": (4, 6)},
    "dense": {"widths": (6, 4)},
    "unet": {"widths": (4, 6), "padding": "same", "norm": "batch"},
    "flownet": {"widths": (4, 6), "kernels": (5, 3)},
    "pwcnet": {"widths": (4, 6)},
    "vit": {"dim": 16, "depth": 2, "num_heads": 2, "patch": 4, "image_size": 8},
    "wave": {"widths": (4, 6), "kernels": (4, 3), "strides": (2, 2), "norm_groups": 2},
}
SMALL["wave_gru"] = {**SMALL["wave"], "context": 5}


def inputs(name):
    """Four images, or waves."""
    shape = (4, 64) if name.startswith("wave") else (4, 8, 8, 3)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def signature(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_traces_abstractly(name):
    shape = (2, 20480) if name.startswith("wave") else (2, 224, 224, 3)
    init = functools.partial(ENCODERS[name]().init_with_output, train=False)
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    features, variables = jax.eval_shape(init, jax.random.key(0), image)
    if name in COUNTS:
        assert count(variables["params"]) == COUNTS[name]
    dim = features.pooled.shape[1]
    assert features.pooled.shape == (2, dim)
    assert features.pooled.dtype == jnp.float32
    assert features.grid.ndim == (3 if name.startswith("wave") else 4)
    assert features.grid.shape[-1] == dim
    sides = [level.shape[1] for level in features.pyramid]
    assert sides == sorted(sides, reverse=True)  # From fine to coarse.
    for level in features.pyramid[-1:]:
        assert level.shape == features.grid.shape
    assert bool(features.pyramid) != name.startswith("vit")
    leaves = jax.tree.leaves(variables)
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_factory_is_a_schema(name):
    wires, settings = schema(ENCODERS[name])
    assert not wires
    assert not {"parent", "name"} & set(settings)
    for parameter in settings.values():
        assert parameter.default is not parameter.empty
        assert parameter.annotation not in (parameter.empty, Any, str)
    assert bind(ENCODERS[name], {}, {"dtype": "bfloat16"}) == ENCODERS[name](
        dtype="bfloat16"
    )


def test_what_makes_a_size_may_be_set_and_is_part_of_the_resolved_config():
    assert resolve(ENCODERS["vit_b"], {"depth": 4})["depth"] == 4
    assert resolve(ENCODERS["vit_b"], {})["dim"] == 768
    assert resolve(ENCODERS["resnet50"], {})["stage_sizes"] == (3, 4, 6, 3)


def test_lists_do_as_tuples():
    for name, key in (("convnet", "widths"), ("resnet50", "stage_sizes")):
        listed, plain = (
            ENCODERS[name](**{key: kind([3, 4])}) for kind in (list, tuple)
        )
        assert hash(listed) == hash(plain)


@pytest.mark.parametrize("name", SMALL)
def test_training_forward_compiles_once_and_closes_over_its_statistics(name):
    encoder = ENCODERS[name](**SMALL[name])
    x = inputs(name)
    params, stats = random_variables(encoder, x)
    step = jax.jit(functools.partial(forward, encoder))
    for _ in range(3):
        features, moved = step(params, stats, jnp.asarray(x))
        assert signature(moved) == signature(stats)
        x, stats = x + 1, moved
    assert step._cache_size() == 1
    assert np.all(np.isfinite(features.pooled))


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_computes_but_does_not_store(name):
    x = inputs(name)
    wide = ENCODERS[name](**SMALL[name])
    narrow = ENCODERS[name](**SMALL[name], dtype="bfloat16")
    params, stats = random_variables(narrow, x)
    leaves = jax.tree.leaves((params, stats))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    low, high = (
        jax.jit(functools.partial(forward, encoder))(params, stats, x)[0].pooled
        for encoder in (narrow, wide)
    )
    assert low.dtype == jnp.float32
    assert 0 < np.abs(low - high).max() < 0.1 * np.abs(high).max()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "resnet18",
            {"stem": "big"},
            "stem = 'big' must be one of 'imagenet', 's",
        ),
        ("resnet18", {"norm": "gn"}, "norm = 'gn' must be one of 'batch', 'group_ws'"),
        ("resnet50", {"width": 0}, "width = 0 must be at least 1"),
        ("resnet50", {"groups": 0}, "groups = 0 must be at least 1"),
        ("resnet50", {"stage_sizes": ()}, "stages = 0 must be at least 1"),
        (
            "resnet50",
            {"stage_sizes": (3, 0)},
            r"stage_sizes = \(3, 0\) must be",
        ),
        ("resnet50", {"kernel_init": "he"}, "kernel_init = 'he' must be one of"),
        ("resnet34", {"dtype": "fp16"}, "dtype = 'fp16' must be one of 'float32', "),
        ("alexnet", {"pools": (0,)}, r"pools = \(0,\) must be in \[1, 5\]"),
        ("alexnet", {"widths": ()}, r"widths = \(\) must hold at least one"),
        ("alexnet", {"padding": 11}, r"padding = 11 must be in \[0, 11\)"),
        ("alexnet", {"hidden_dims": (0,)}, r"hidden_dims = \(0,\) must be at least"),
        ("convnet", {"pool": "max"}, "pool = 'max' must be one of 'mean', 'flat'"),
        ("convnet", {"widths": ()}, "stages = 0 must be at least 1"),
        ("convnet", {"widths": (8, 0)}, r"widths = \(8, 0\) must be at least 1"),
        ("convnet", {"norm": "gn"}, "norm = 'gn' must be one of 'batch', 'group_ws'"),
        ("dcgan", {"pool": "max"}, "pool = 'max' must be one of 'mean', 'flat'"),
        ("dispnet", {"halving": "both"}, "halving = 'both' must be one of 'first', "),
        ("dispnet", {"widths": ()}, r"widths = \(\) must hold at least one number"),
        ("dense", {"widths": (8, 0)}, r"widths = \(8, 0\) must be at least 1"),
        ("dense", {"activation": "tanh"}, "activation = 'tanh' must be one of 'relu'"),
        ("unet", {"widths": ()}, r"widths = \(\) must hold at least one"),
        (
            "unet",
            {"padding": "full"},
            "padding = 'full' must be one of 'valid', 'same'",
        ),
        ("unet", {"norm": "layer"}, "norm = 'layer' must be one of 'none', 'batch'"),
        ("unet", {"dropout": 1.0}, r"dropout = 1.0 must be in \[0, 1\)"),
        ("flownet", {"widths": (4,)}, "must have the same length"),
        ("pwcnet", {"widths": ()}, r"widths = \(\) must hold at least one"),
        ("vit", {"num_heads": 5}, "num_heads = 5 does not divide the width 192"),
        ("vit_b", {"dim": 100}, "num_heads = 12 does not divide the width 100"),
        ("vit", {"depth": 0}, "depth = 0 must be at least 1"),
        ("vit", {"mlp_ratio": float("nan")}, "mlp_ratio = nan must be positive"),
        ("vit_s", {"image_size": 200}, "200 x 200 pixels .* multiples of the patch"),
        ("vit_s", {"pool": "avg"}, "pool = 'avg' must be one of 'class', 'mean'"),
        ("vit_b", {"positions": "2d"}, "positions = '2d' must be one of 'learned'"),
        ("vit_b", {"scheme": "beit"}, "scheme = 'beit' must be one of 'dino'"),
        ("vit_b", {"drop_path": 1.0}, r"drop_path = 1.0 must be in \[0, 1\)"),
        ("vit_l", {"registers": -1}, "registers = -1 must be at least 0"),
        ("wave", {"widths": (4,)}, "must have the same length"),
        ("wave", {"strides": (5, 9, 2, 2, 2)}, "kernels = 8 must be at least 9"),
        ("wave", {"norm_groups": -1}, "norm_groups = -1 must be at least 0"),
    ],
)
def test_impossible_settings_are_named_before_anything_compiles(
    name, settings, message
):
    with pytest.raises(ValueError, match=message):
        ENCODERS[name](**settings)


def test_every_word_that_a_network_may_be_given_has_a_meaning():
    assert set(SCHEMES) == set(get_args(ViT.__annotations__["scheme"]))
    assert set(POLICIES) == set(get_args(ViT.__annotations__["remat"]))
    assert set(POLICIES) > set(get_args(ResNet.__annotations__["remat"]))
    assert set(KERNEL_INITS) == set(get_args(KernelInit))
