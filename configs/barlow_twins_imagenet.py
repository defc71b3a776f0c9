"""Barlow Twins, ResNet-50, ImageNet, 1000 epochs at batch 2048.

Paper: arXiv:2103.03230, section 2.2; 73.2 % top-1 with a linear probe (table 1), 73.5 %
       for the released weights. Weight decay 1e-6 is the released code's, the paper has
       1.5e-6.
Run:   jax-ssl train --config=configs/barlow_twins_imagenet.py --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

BATCH_SIZE = 2048


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(name="barlow_twins")
    config.views = dict(name="barlow_twins", size=224, **IMAGENET)

    def rate(base):  # Ends at a thousandth of the scaled rate.
        return dict(
            name="warmup_cosine",
            peak_value=base,
            scaling="linear",
            warmup_epochs=10,
            end_value=base * BATCH_SIZE / 256 / 1000,
        )

    config.optimizer = dict(
        name="lars",
        rate="outside",
        weight_decay=1e-6,
        learning_rate=rate(0.2),
        rates=(("(bias|scale)$", rate(0.0048)),),
    )
    config.data, config.feed = imagenet(BATCH_SIZE)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=1)
    return config
