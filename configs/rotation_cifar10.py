"""RotNet, a small ConvNet, CIFAR-10.

Paper: arXiv:1803.07728, whose network is a Network in Network of three to
       five blocks, which this library has not: a small ConvNet stands for it, and its
       crops of padded images are crops of at least 60 % of the area. Optimizer, rates
       and epochs are those of its released code (gidariss/FeatureLearningRotNet).
Run:   jax-ssl train --config=rotation_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256))
    config.method = dict(name="rotation")
    # Crop and mirror alone, as MAE has them.
    config.views = dict(name="mae", size=32, min_scale=0.6, **CIFAR10)
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        exclude=None,
        learning_rate=dict(
            name="step_decay", value=0.1, drops=(60, 120, 160), factor=0.2
        ),
    )
    config.data, config.feed = cifar10(128)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=10)
    return config
