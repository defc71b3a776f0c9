"""The published sizes of the vision transformer, and one of any size."""

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
    layer_scale: float = 0.0,
    scheme: str = "dino",
    dtype: str = "float32",
) -> ViT:
    """Vision transformer of any size; settings as in `ViT`."""
    return ViT(
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        patch=patch,
        image_size=image_size,
        pool=pool,
        positions=positions,
        registers=registers,
        mask_token=mask_token,
        mlp_ratio=mlp_ratio,
        drop_path=drop_path,
        layer_scale=layer_scale,
        scheme=scheme,
        dtype=compute_dtype(dtype),
    )


def vit_ti(
    *,
    patch: int = 16,
    image_size: int = 224,
    pool: str = "class",
    positions: str = "learned",
    registers: int = 0,
    mask_token: bool = False,
    drop_path: float = 0.0,
    layer_scale: float = 0.0,
    scheme: str = "dino",
    dtype: str = "float32",
) -> ViT:
    """ViT-Ti: 192 wide, 12 blocks, 3 heads; settings as in `ViT`."""
    return vit(
        dim=192,
        depth=12,
        num_heads=3,
        patch=patch,
        image_size=image_size,
        pool=pool,
        positions=positions,
        registers=registers,
        mask_token=mask_token,
        drop_path=drop_path,
        layer_scale=layer_scale,
        scheme=scheme,
        dtype=dtype,
    )


def vit_s(
    *,
    num_heads: int = 6,
    patch: int = 16,
    image_size: int = 224,
    pool: str = "class",
    positions: str = "learned",
    registers: int = 0,
    mask_token: bool = False,
    drop_path: float = 0.0,
    layer_scale: float = 0.0,
    scheme: str = "dino",
    dtype: str = "float32",
) -> ViT:
    """ViT-S: 384 wide, 12 blocks, 6 heads (12 in MoCo v3); settings as in `ViT`."""
    return vit(
        dim=384,
        depth=12,
        num_heads=num_heads,
        patch=patch,
        image_size=image_size,
        pool=pool,
        positions=positions,
        registers=registers,
        mask_token=mask_token,
        drop_path=drop_path,
        layer_scale=layer_scale,
        scheme=scheme,
        dtype=dtype,
    )


def vit_b(
    *,
    patch: int = 16,
    image_size: int = 224,
    pool: str = "class",
    positions: str = "learned",
    registers: int = 0,
    mask_token: bool = False,
    drop_path: float = 0.0,
    layer_scale: float = 0.0,
    scheme: str = "dino",
    dtype: str = "float32",
) -> ViT:
    """ViT-B: 768 wide, 12 blocks, 12 heads; settings as in `ViT`."""
    return vit(
        dim=768,
        depth=12,
        num_heads=12,
        patch=patch,
        image_size=image_size,
        pool=pool,
        positions=positions,
        registers=registers,
        mask_token=mask_token,
        drop_path=drop_path,
        layer_scale=layer_scale,
        scheme=scheme,
        dtype=dtype,
    )


def vit_l(
    *,
    patch: int = 16,
    image_size: int = 224,
    pool: str = "class",
    positions: str = "learned",
    registers: int = 0,
    mask_token: bool = False,
    drop_path: float = 0.0,
    layer_scale: float = 0.0,
    scheme: str = "dino",
    dtype: str = "float32",
) -> ViT:
    """ViT-L: 1024 wide, 24 blocks, 16 heads; settings as in `ViT`."""
    return vit(
        dim=1024,
        depth=24,
        num_heads=16,
        patch=patch,
        image_size=image_size,
        pool=pool,
        positions=positions,
        registers=registers,
        mask_token=mask_token,
        drop_path=drop_path,
        layer_scale=layer_scale,
        scheme=scheme,
        dtype=dtype,
    )


def vit_h(
    *,
    patch: int = 14,
    image_size: int = 224,
    pool: str = "class",
    positions: str = "learned",
    registers: int = 0,
    mask_token: bool = False,
    drop_path: float = 0.0,
    layer_scale: float = 0.0,
    scheme: str = "dino",
    dtype: str = "float32",
) -> ViT:
    """ViT-H: 1280 wide, 32 blocks, 16 heads; settings as in `ViT`."""
    return vit(
        dim=1280,
        depth=32,
        num_heads=16,
        patch=patch,
        image_size=image_size,
        pool=pool,
        positions=positions,
        registers=registers,
        mask_token=mask_token,
        drop_path=drop_path,
        layer_scale=layer_scale,
        scheme=scheme,
        dtype=dtype,
    )
