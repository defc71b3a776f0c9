"""The published sizes of the vision transformer, and one of any size."""

import inspect
from collections.abc import Callable
from typing import Any

from jax_ssl.encoders.checks import compute_dtype
from jax_ssl.encoders.vit import ViT


def vit(
    *,
    dim: int = 192,
    depth: int = 12,
    num_heads: int = 3,
    patch: int = 16,
    image_size: int = 224,
    pool: str = "class",
    positions: str = "learned",
    registers: int = 0,
    mask_token: bool = False,
    mlp_ratio: float = 4.0,
    drop_path: float = 0.0,
    drop_path_uniform: bool = False,
    drop_path_group: int = 0,
    layer_scale: float = 0.0,
    scheme: str = "dino",
    remat: str = "none",
    scan_layers: bool = False,
    dtype: str = "float32",
) -> ViT:
    """Vision transformer of any size; settings as in `ViT`."""
    settings = {**locals(), "dtype": compute_dtype(dtype)}
    return ViT(**settings)


def sized(
    name: str, text: str, fixed: dict[str, Any], **defaults: Any
) -> Callable[..., ViT]:
    """`vit` at one size, with a signature of its own.

    Args:
        name: of the function.
        text: its docstring.
        fixed: settings that make the size, and are no settings of the function.
        **defaults: of settings where they differ from those of `vit`.
    """
    own = inspect.signature(vit)
    fixed = {"mlp_ratio": 4.0, **fixed}
    signature = own.replace(
        parameters=[
            parameter.replace(default=defaults.get(parameter.name, parameter.default))
            for parameter in own.parameters.values()
            if parameter.name not in fixed
        ]
    )

    def factory(**settings: Any) -> ViT:
        signature.bind(**settings)  # Refuses what is no setting.
        return vit(**{**defaults, **settings, **fixed})

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = text
    factory.__annotations__ = {
        parameter: hint
        for parameter, hint in vit.__annotations__.items()
        if parameter not in fixed
    }
    vars(factory)["__signature__"] = signature
    return factory


vit_ti = sized(
    "vit_ti",
    "ViT-Ti: 192 wide, 12 blocks, 3 heads; settings as in `ViT`.",
    {"dim": 192, "depth": 12, "num_heads": 3},
)
vit_s = sized(
    "vit_s",
    "ViT-S: 384 wide, 12 blocks, 6 heads (12 in MoCo v3); settings as in `ViT`.",
    {"dim": 384, "depth": 12},
    num_heads=6,
)
vit_b = sized(
    "vit_b",
    "ViT-B: 768 wide, 12 blocks, 12 heads; settings as in `ViT`.",
    {"dim": 768, "depth": 12, "num_heads": 12},
)
vit_l = sized(
    "vit_l",
    "ViT-L: 1024 wide, 24 blocks, 16 heads; settings as in `ViT`.",
    {"dim": 1024, "depth": 24, "num_heads": 16},
)
vit_h = sized(
    "vit_h",
    "ViT-H: 1280 wide, 32 blocks, 16 heads; settings as in `ViT`.",
    {"dim": 1280, "depth": 32, "num_heads": 16},
    patch=14,
)
