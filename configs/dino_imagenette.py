"""DINO, ViT-S with patches of 8 x 8 pixels, Imagenette at 128 pixels.

Paper: arXiv:2104.14294; Imagenette is not in it. lightly's benchmark of this set and
       size reports 88.8 % (k-NN, ResNet-18, 800 epochs, the best epoch on test images);
       stable-pretraining's, at 224 pixels, 83.8 % (k-NN) and 86.1 % (linear) with
       ViT-S/16 after 200 epochs.
Run:   jax-ssl train --config=dino_imagenette --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, dino_adamw, imagenette, imagenette_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="vit_s", patch=8, image_size=128, drop_path=0.1)
    config.method = dict(
        name="dino",
        num_prototypes=4096,
        student_temperature=0.1,
        teacher_temperature=0.04,
        # Of a small batch and data set the teacher follows more slowly.
        momentum=dict(name="cosine", init_value=0.9995, end_value=1.0),
    )
    config.views = dict(
        name="dino",
        global_size=128,
        local_size=64,
        num_locals=6,
        global_scale=(0.4, 1.0),
        local_scale=(0.05, 0.4),
        **IMAGENET,
    )
    config.optimizer = dino_adamw()
    config.data, config.feed = imagenette(256)
    config.evals = imagenette_evals(**IMAGENET)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=20)
    return config
