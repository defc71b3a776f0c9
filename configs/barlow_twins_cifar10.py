"""Barlow Twins, ResNet-18, CIFAR-10.

Paper: arXiv:2103.03230; CIFAR-10 is not in it. The settings are those of solo-learn's
       script at the commit whose README first gives 92.10 % (online linear; fca55e3,
       bash_files/pretrain/cifar/barlow.sh). Its last layer has a bias, which this loss
       does not see.
Run:   jax-ssl train --config=barlow_twins_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import (
    CIFAR10,
    cifar10,
    cifar10_evals,
    solo_learn_lars,
    solo_learn_resnet18,
)
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = solo_learn_resnet18()
    config.method = dict(
        name="barlow_twins",
        redundancy_weight=5e-3,
        hidden_dim=2048,
        output_dim=2048,
        scale=0.1,
    )
    config.views = dict(
        name="barlow_twins",
        size=32,
        blur_probability=(0.0, 0.0),
        **CIFAR10,
    )
    config.optimizer = solo_learn_lars(0.3, weight_decay=1e-4)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
