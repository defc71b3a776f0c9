"""AMDIM, its largest encoder, ImageNet at 128 pixels, 50 epochs.

Paper: arXiv:1906.00910: 68.1 % top-1 with a linear probe for this encoder (ndf 320,
       features of 2,560, depth 10). The released code has 480 images a step on four
       GPUs, and a fifth of the rate after 30 and after 45 epochs. It evaluates by
       classifiers beside the training, here a linear probe does at the end.
Run:   jax-ssl train --config=amdim_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, amdim_adam, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="amdim",
        image_size=128,
        width=320,
        output_dim=2560,
        depth=10,
        dtype="bfloat16",
    )
    config.method = dict(name="amdim", output_dim=2560)
    config.views = dict(name="amdim", size=128, **IMAGENET)
    config.optimizer = amdim_adam(drops=(30, 45))
    config.data, config.feed = imagenet(480)
    config.evals = imagenet_evals(**IMAGENET)
    config.evals["view"] = dict(name="center_crop", size=128, resize=146, **IMAGENET)
    config.run = dict(num_epochs=50, seed=0, checkpoint_every_epochs=1)
    return config
