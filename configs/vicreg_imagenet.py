"""VICReg, ResNet-50, ImageNet, 1000 epochs at batch 2048.

Paper: arXiv:2105.04906, section 4.2; 73.2 % top-1 with a linear probe (table 1).
Run:   jax-ssl train --config=vicreg_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

BATCH_SIZE = 2048


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(name="vicreg")
    config.views = dict(name="vicreg", size=224, **IMAGENET)
    config.optimizer = dict(
        name="lars",
        rate="outside",
        weight_decay=1e-6,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=0.2,
            scaling="linear",
            warmup_epochs=10,
            end_value=0.2 * BATCH_SIZE / 256 / 1000,  # The released code's.
        ),
    )
    config.data, config.feed = imagenet(BATCH_SIZE)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=1)
    return config
