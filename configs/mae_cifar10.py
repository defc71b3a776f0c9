"""MAE, ViT-S with patches of 4 x 4 pixels, CIFAR-10.

Paper: arXiv:2111.06377; CIFAR-10 is not in it. Decoder and rate are those of
       solo-learn's scripts/pretrain/cifar/mae.yaml, whose README gives no accuracy and
       whose ViT-S has 12 heads for 6 here; the rest is the paper's. For comparison
       ":bert" masks as BERT does (arXiv:1810.04805): 15 % of the patches, with mask
       tokens in the encoder and a head in the place of the decoder.
Run:   jax-ssl train --config=mae_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run; a very small ViT in experiments/mask_ratio.
"""

from common import CIFAR10, cifar10, cifar10_evals, mae_adamw
from ml_collections import ConfigDict

MASKINGS = {
    "mae": dict(mask_ratio=0.75, encode="visible", decoder_depth=8),
    "bert": dict(mask_ratio=0.15, encode="all", decoder_depth=0),
}


def get_config(masking="mae"):
    if masking not in MASKINGS:
        raise ValueError(f"mae_cifar10:{masking}: say :mae or :bert.")
    config = ConfigDict()
    config.encoder = dict(
        name="vit_s",
        patch=4,
        image_size=32,
        positions="sincos",
        scheme="mae",
        mask_token=masking == "bert",
    )
    config.method = dict(
        name="mae",
        norm_pix=True,
        decoder_width=512,
        decoder_heads=16,
        **MASKINGS[masking],
    )
    config.views = dict(name="mae", size=32, min_scale=0.2, **CIFAR10)
    config.optimizer = mae_adamw(2e-4)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
