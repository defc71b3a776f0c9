"""MAE, ViT-S with patches of 8 x 8 pixels, Imagenette at 128 pixels.

Paper: arXiv:2111.06377; Imagenette is not in it. lightly's benchmark of this set and
       size reports 61.0 % (k-NN, ViT-S, 800 epochs, the best epoch on test images).
Run:   jax-ssl train --config=mae_imagenette --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenette, imagenette_evals, mae_adamw
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="vit_s", patch=8, image_size=128, positions="sincos", scheme="mae"
    )
    config.method = dict(
        name="mae",
        mask_ratio=0.75,
        norm_pix=True,
        decoder_width=512,
        decoder_depth=4,
        decoder_heads=16,
    )
    config.views = dict(name="mae", size=128, min_scale=0.2, **IMAGENET)
    config.optimizer = mae_adamw(1.5e-4)
    config.data, config.feed = imagenette(256)
    config.evals = imagenette_evals(**IMAGENET)
    config.run = dict(num_epochs=800, seed=0, checkpoint_every_epochs=20)
    return config
