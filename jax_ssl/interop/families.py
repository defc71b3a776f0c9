"""Where published weights come from: names, prefixes, heads, and what they are fed.

A family is a value. To read another source, add its layout, if its names are new, and
one `Family`.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from jax_ssl.interop import layouts
from jax_ssl.interop.layouts import Layout

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5,) * 3, (0.5,) * 3)


class Input(NamedTuple):
    """How the images of a family are prepared, unless a file beside it says otherwise.

    Attributes:
        moments: mean and standard deviation of the channels; None for values in [0, 1].
        crop: share of the shorter side that the central crop takes.
        interpolation: of the resize.
        size: side of the crop; None for what the positions are made for, or 224.
    """

    moments: tuple[tuple[float, ...], tuple[float, ...]] | None = IMAGENET
    crop: float = 0.875
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    size: int | None = None


class Family(NamedTuple):
    """Weights of one origin.

    Attributes:
        about: where such files come from, in words.
        layouts: how its names may lie.
        marks: patterns, one of which is found in a name of the file, or in
            "model_type=…" or "architecture=…" of a config.json beside it, and tells the
            family from others of the same layout; () for the one that is taken where
            none is told.
        prefer: patterns of prefixes, the best first, where several copies are there.
        settings: of our encoder, beside those that the shapes tell.
        input: how images are prepared.
        heads: patterns of names, behind the prefix, that are known to be left out.
        has: settings that are on in every network of the family; see `claims`.
    """

    about: str
    layouts: tuple[Layout, ...]
    marks: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}
    input: Input = Input()
    heads: tuple[str, ...] = ()
    has: tuple[str, ...] = ()


CLASS = ("class_token",)
SCALED = ("class_token", "layer_scale")
BICUBIC = Input(interpolation="bicubic")
RESNET = (layouts.TORCHVISION,)
TIMM = (layouts.TIMM, layouts.CHUNKED)
MOCO_V3 = (r"(^|\.)(base_encoder|momentum_encoder)\.",)

# From the particular to the general: the first whose layout and marks are there.
FAMILIES: Mapping[str, Family] = {
    "moco_v3": Family(
        "MoCo v3, ViT",
        TIMM,
        MOCO_V3,
        (r"base_encoder\.$",),
        input=BICUBIC,
        has=CLASS,
    ),
    "moco_v3_resnet": Family("MoCo v3, ResNet", RESNET, MOCO_V3, (r"base_encoder\.$",)),
    "moco": Family(
        "MoCo v1 and v2", RESNET, (r"(^|\.)encoder_q\.",), (r"encoder_q\.$",)
    ),
    "dinov3": Family(
        "DINOv3",
        TIMM,
        (r"(^|\.)storage_tokens$", r"rope_embed\.periods$", r"^architecture=.*dinov3"),
        (r"teacher\.(backbone\.)?$",),
        {"positions": "rope", "norm_epsilon": 1e-5},
        Input(crop=1.0, interpolation="bicubic", size=256),
        (r"^local_cls_norm\.",),
        (*SCALED, "registers"),
    ),
    "dinov2": Family(
        "DINOv2, with and without registers",
        TIMM,
        # Layer scale and a mask token of the encoder, or blocks in chunks.
        (r"(^|\.)register_tokens$", r"blocks\.0\.\d+\.", r"(^|teacher\.)mask_token$"),
        (r"teacher\.(backbone\.)?$",),
        {"resample": "dino"},
        Input(interpolation="bicubic", size=224),
        has=SCALED,
    ),
    "mae": Family(
        "MAE, pre-trained, with or without its decoder",
        TIMM,
        (r"(^|\.)decoder_(embed|pos_embed|pred)",),
        settings={"resample": "mae"},
        input=BICUBIC,
        heads=(r"^decoder_", r"^mask_token$"),
        has=CLASS,
    ),
    "dino": Family(
        "DINO",
        TIMM,
        (r"(^|\.)(teacher|student)\.",),
        (r"teacher\.(module\.)?(backbone\.)?$",),
        {"resample": "dino"},
        BICUBIC,
        (r"^last_layer\.", r"^mlp\."),
        CLASS,
    ),
    "dino_resnet": Family(
        "DINO, ResNet",
        RESNET,
        (r"(^|\.)(teacher|student)\.",),
        (r"teacher\.(module\.)?(backbone\.)?$",),
        input=BICUBIC,
    ),
    "swav": Family(
        "SwAV, DeepCluster-v2 and SeLa",
        RESNET,
        (r"(^|\.)(prototypes|projection_head)\.",),
    ),
    "simsiam": Family(
        "SimSiam", RESNET, (r"^state_dict\.module\.encoder\.",), (r"encoder\.$",)
    ),
    "barlow_twins": Family(
        "Barlow Twins and VICReg, whole checkpoints",
        RESNET,
        (r"(^|\.)backbone\.",),
        (r"backbone\.$",),
    ),
    "hf_dinov3": Family(
        "DINOv3 of transformers",
        layouts.HUGGING_FACE[1:],
        settings={"positions": "rope", "norm_epsilon": 1e-5},
        input=Input(crop=1.0, size=224),
        has=(*SCALED, "registers"),
    ),
    "hf_dinov2": Family(
        "DINOv2 of transformers, with and without registers",
        layouts.HUGGING_FACE[:1],
        (r"layer_scale[12]\.lambda1$", r"^model_type=dinov2"),
        settings={"resample": "mae"},
        input=Input(interpolation="bicubic", size=224),
        has=SCALED,
    ),
    "hf_mae": Family(
        "ViT-MAE of transformers",
        layouts.HUGGING_FACE[:1],
        (r"^decoder\.decoder_", r"^model_type=vit_mae$"),
        settings={"norm_epsilon": 1e-12, "resample": "mae"},
        input=Input(crop=1.0),
    ),
    "hf_vit": Family(
        "ViT of transformers",
        layouts.HUGGING_FACE[:1],
        settings={"norm_epsilon": 1e-12, "resample": "mae"},
        input=Input(HALVES, crop=1.0),
        heads=(r"^pooler\.",),
    ),
    "hf_resnet": Family(
        "ResNet of transformers",
        (layouts.HF_RESNET,),
        input=Input(interpolation="bicubic"),
    ),
    "big_vision": Family(
        "big_vision, AugReg and other arrays of Google's ViT",
        layouts.BIG_VISION,
        settings={"activation": "gelu_tanh"},
        input=Input(HALVES, crop=1.0),
        # The temperature and the text tower of two-tower files.
        heads=(r"^pre_logits\.", r"^params\.(t|b|bias_init|txt\..*)$"),
    ),
    "simclr": Family(
        "SimCLR v1 and v2 (TensorFlow)",
        (layouts.SIMCLR,),
        prefer=(r"base_model\.$",),
        settings={"pool_padding": "same"},
        input=Input(None, interpolation="bicubic"),
        heads=(r"\.(Momentum|LARSOptimizer)$",),
    ),
    "byol": Family(
        "BYOL (Haiku), its arrays as .npz",
        (layouts.HAIKU,),
        settings={"pool_padding": "same", "conv_padding": "same"},
        input=BICUBIC,
        heads=(r"\.(hidden|counter)$",),
    ),
    "timm": Family(
        "timm's ViTs, DeiT, and whatever has their names",
        TIMM,
        input=Input(HALVES, 0.9, "bicubic"),
    ),
    "torchvision": Family(
        "torchvision's ResNets, timm's, Barlow Twins', VICReg's, and whatever has "
        "their names",
        RESNET,
    ),
}

# Behind the prefix of any family: what reads the features, and counters.
HEADS = (
    r"^(fc|head|heads|head_drop|classifier|projector|projection_head|predictor)\.",
    r"^prototypes\.",
    r"\.num_batches_tracked$",
    r"(^|\.)(position_ids|relative_position_index)$",
)
# Of the whole file: optimizers, queues, losses, and networks beside the encoder.
BESIDE = (
    r"(^|\.)(optimizer|optim|opt|scaler|amp|scheduler|lr_scheduler|ema_optimizer)\.",
    r"(^|\.)(queue|queue_ptr|queue\d*|center|global_step|epoch)$",
    r"(^|\.)(dino_loss|ibot_loss|ibot_patch_loss|dino_head|ibot_head|loss)\.",
    r"(^|\.)(projector|projection_head|predictor|prototypes|bn|head|heads|fc)\.",
    r"(^|\.)(head_contrastive|head_supervised|decoder|classifier)\.",
    r"(^|\.)(Momentum|LARS|LARSOptimizer)$",
)
