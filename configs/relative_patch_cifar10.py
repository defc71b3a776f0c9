"""Relative patches, a small ConvNet, CIFAR-10.

Paper: arXiv:1505.05192; CIFAR-10 is not in it. Of 32 pixels the grid takes 30: patches
       of 8, gaps of 2, moved by up to 1. Images are not resized and patches not made
       coarse, for so few pixels have no detail to lose. Patches keep their means and,
       by the paper's projection, most of their colours: a short run without them fell
       below an untrained network where whole images are judged, which have both.
       Network, optimizer and epochs are this library's choice.
Run:   jax-ssl train --config=relative_patch_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    # Three pools make one place of a patch, and 4 x 4 of a whole image.
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256))
    config.method = dict(name="relative_patch", patch_dim=256, hidden_dims=(256,))
    config.views = dict(
        name="relative_patch",
        size=8,
        gap=2,
        jitter=1,
        areas=None,
        coarse_probability=0.0,
        colours="project",
        normalize=False,
        **CIFAR10,
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        learning_rate=dict(name="warmup_cosine", peak_value=0.1, warmup_epochs=1),
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=10)
    return config
