"""Linear probe of MAE's ViT-B, ViT-L or ViT-H on ImageNet, batch 16384.

Paper: arXiv:2111.06377, table 10; top-1 68.0 % (ViT-B), 75.8 % (ViT-L), 76.6 % (ViT-H)
       after 1600 epochs of pre-training. The larger two have 50 epochs, as in the
       released code, where the table has 90.
Run:   jax-ssl train --config=linear_probe_mae_imagenet:vit_b --workdir=DIR \
           --config.run.init_from=RUN/export/encoder.npz \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

EPOCHS = {"vit_b": 90, "vit_l": 50, "vit_h": 50}


def get_config(network="vit_b"):
    if network not in EPOCHS:
        raise ValueError(
            f"linear_probe_mae_imagenet:{network}: say one of {', '.join(EPOCHS)}."
        )
    config = ConfigDict()
    config.encoder = dict(
        name=network, positions="sincos", scheme="mae", dtype="bfloat16"
    )
    config.method = dict(
        name="classifier",
        num_classes=1000,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        freeze_encoder=True,
        batch_norm=True,
        first_std=0.01,
    )
    # Crops that do not fit are clipped here, as in the released code.
    config.views = dict(
        name="supervised",
        size=224,
        interpolation="bicubic",
        sampling="clipped",
        **IMAGENET,
    )
    config.optimizer = dict(
        name="lars",
        rate="outside",
        trust_coefficient=0.001,
        weight_decay=0.0,
        learning_rate=dict(
            name="warmup_cosine", peak_value=0.1, scaling="linear", warmup_epochs=10
        ),
    )
    config.data, config.feed = imagenet(16384)
    config.evals = dict(imagenet_evals(**IMAGENET), online=None, knn=None, linear=None)
    config.run = dict(num_epochs=EPOCHS[network], seed=0, checkpoint_every_epochs=5)
    return config
