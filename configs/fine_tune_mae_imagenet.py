"""Fine-tuning of MAE's ViT-B, ViT-L or ViT-H on ImageNet, batch 1024.

Paper: arXiv:2111.06377; top-1 83.6 % (ViT-B), 85.9 % (ViT-L), 86.9 % (ViT-H) after
       1600 epochs of pre-training. The settings are those of the released code for
       them (facebookresearch/mae, FINETUNE.md), whose rate for ViT-B, layer decay and
       drop path differ a little from table 9, which is of the ablations. The positions
       keep their sines and cosines, where the released code trains them on, at the
       lowest of the rates.
Run:   jax-ssl train --config=fine_tune_mae_imagenet:vit_b --workdir=DIR \
           --config.run.init_from=RUN/export/encoder.npz \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

# Epochs, base rate, layer decay and drop path.
SETTINGS = {
    "vit_b": (100, 5e-4, 0.65, 0.1),
    "vit_l": (50, 1e-3, 0.75, 0.2),
    "vit_h": (50, 1e-3, 0.75, 0.3),
}


def get_config(network="vit_b"):
    if network not in SETTINGS:
        raise ValueError(
            f"fine_tune_mae_imagenet:{network}: say one of {', '.join(SETTINGS)}."
        )
    epochs, rate, layer_decay, drop_path = SETTINGS[network]
    config = ConfigDict()
    config.encoder = dict(
        name=network,
        positions="sincos",
        scheme="mae",
        pool="mean",
        drop_path=drop_path,
        dtype="bfloat16",
    )
    config.method = dict(
        name="classifier",
        num_classes=1000,
        label_smoothing=0.1,
        mixup=0.8,
        cutmix=1.0,
        first_std=2e-5,
    )
    config.views = dict(
        name="supervised",
        size=224,
        interpolation="bicubic",
        rand_augment_ops=2,
        erase_probability=0.25,
        **IMAGENET,
    )
    config.optimizer = dict(
        name="adamw",
        b1=0.9,
        b2=0.999,
        weight_decay=0.05,
        # Tokens do not decay either, as with timm's `no_weight_decay`.
        exclude=("(^|/)(bias|scale)$", "(^|/)(class_token|position_embed)$"),
        layer_decay=layer_decay,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=rate,
            scaling="linear",
            warmup_epochs=5,
            end_value=1e-6,
        ),
    )
    config.data, config.feed = imagenet(1024)
    config.evals = dict(imagenet_evals(**IMAGENET), online=None, knn=None, linear=None)
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=1)
    return config
