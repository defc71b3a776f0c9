"""Relative patches, ResNet-50, ImageNet.

Paper: arXiv:1505.05192, which trains a network like AlexNet for weeks: 30.4 % top-1
       with a linear probe on its last convolution, and later 36.2 % with a ResNet-v2.
       ResNet-50 is the nearest network of this library. Patches, gap, jitter and
       colours are those of the released code; its plain SGD of the summed loss and its
       number of steps are not taken over: optimizer and epochs are those that later
       work has for jigsaw puzzles (jigsaw_imagenet).
Run:   jax-ssl train --config=relative_patch_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(
        name="relative_patch", patch_dim=4096, hidden_dims=(4096, 4096)
    )
    config.views = dict(
        name="relative_patch",
        size=96,
        gap=48,
        jitter=7,
        areas=(150_000, 450_000),
        coarse_probability=0.33,
        colours="drop",
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        learning_rate=dict(
            name="step_decay", value=0.1, drops=(30, 60, 90, 100), scaling="linear"
        ),
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=105, seed=0, checkpoint_every_epochs=1)
    return config
