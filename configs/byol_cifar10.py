"""BYOL, ResNet-18, CIFAR-10.

Paper: arXiv:2006.07733; CIFAR-10 is not in it. The settings are those of solo-learn's
       scripts/pretrain/cifar/byol.yaml, whose README gives 92.58 % (online linear).
Run:   jax-ssl train --config=configs/byol_cifar10.py --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals, solo_learn_lars
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(
        name="byol",
        hidden_dim=4096,
        output_dim=256,
        momentum=dict(name="cosine", init_value=0.99, end_value=1.0),
    )
    config.views = dict(
        name="byol",
        size=32,
        brightness="multiplicative",
        blur_probability=(0.0, 0.0),
        **CIFAR10,
    )
    config.optimizer = solo_learn_lars(1.0, weight_decay=1e-5)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
