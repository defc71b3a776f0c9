"""MoCo v3, ImageNet, batch 4096: ViT-S/16, ViT-B/16 or ResNet-50.

Paper: arXiv:2104.02057, sections 4 and 5; top-1 with a linear probe: 73.2 % (ViT-S) and
       76.7 % (ViT-B) after 300 epochs, of ResNet-50 68.9, 72.8 and 74.6 % after 100,
       300 and 1000 (the authors' README, whose settings these are).
Run:   jax-ssl train --config=moco_v3_imagenet:vit_s --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

# Epochs, base rate, weight decay and first momentum of the runs of ResNet-50.
RESNET50 = {
    "resnet50": (100, 0.6, 1e-6, 0.99),
    "resnet50-300": (300, 0.3, 1e-6, 0.99),
    "resnet50-1000": (1000, 0.3, 1.5e-6, 0.996),
}


def get_config(network="vit_s"):
    if network not in ("vit_s", "vit_b", *RESNET50):
        choices = ", ".join(("vit_s", "vit_b", *RESNET50))
        raise ValueError(f"moco_v3_imagenet:{network}: say one of {choices}.")
    config = ConfigDict()
    epochs, first = 300, 0.99
    if network in RESNET50:
        epochs, rate, decay, first = RESNET50[network]
        config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
        method = dict(temperature=1.0, head_layers=2, predictor_norm="none")
        config.optimizer = dict(
            name="lars",
            rate="outside",
            weight_decay=decay,
            learning_rate=dict(
                name="warmup_cosine",
                peak_value=rate,
                scaling="linear",
                warmup_epochs=10,
            ),
        )
    else:
        config.encoder = dict(
            name=network, positions="sincos", scheme="moco_v3", dtype="bfloat16"
        )
        if network == "vit_s":
            config.encoder.num_heads = 12
        method = dict(temperature=0.2, head_layers=3, predictor_norm="plain")
        # Everything decays, as in torch's AdamW, but for the patch projection, which
        # keeps its first weights (section 4.2).
        config.optimizer = dict(
            name="adamw",
            weight_decay=0.1,
            exclude=None,
            learning_rate=dict(
                name="warmup_cosine",
                peak_value=1.5e-4,
                scaling="linear",
                warmup_epochs=40,
            ),
            rates=(("^encoder/patch_embed/", None),),
        )
    momentum = dict(name="cosine", init_value=first, end_value=1.0)
    config.method = dict(name="moco_v3", momentum=momentum, **method)
    config.views = dict(
        name="moco_v3",
        size=224,
        min_scale=0.2 if network in RESNET50 else 0.08,
        **IMAGENET,
    )
    config.data, config.feed = imagenet(4096)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=1)
    return config
