"""MAE, ViT-S with patches of 4 x 4 pixels, CIFAR-10.

Paper: arXiv:2111.06377; CIFAR-10 is not in it. The network and the rate are those of
       solo-learn's scripts/pretrain/cifar/mae.yaml, whose README gives no accuracy;
       the rest is the paper's.
Run:   jax-ssl train --config=configs/mae_cifar10.py --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals, mae_adamw
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="vit_s", patch=4, image_size=32, positions="sincos", scheme="mae"
    )
    config.method = dict(
        name="mae",
        mask_ratio=0.75,
        norm_pix=True,
        decoder_width=512,
        decoder_depth=8,
        decoder_heads=16,
    )
    config.views = dict(name="mae", size=32, min_scale=0.2, **CIFAR10)
    config.optimizer = mae_adamw(2e-4)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
