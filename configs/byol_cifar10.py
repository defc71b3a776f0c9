"""BYOL, ResNet-18, CIFAR-10.

Paper: arXiv:2006.07733; CIFAR-10 is not in it. The settings are those of solo-learn's
       script at the commit whose README first gives 92.58 % (online linear; fca55e3,
       bash_files/pretrain/cifar/byol.sh). The last layers of its two heads have a bias,
       here they have none, as in the paper's code.
Run:   jax-ssl train --config=byol_cifar10 --workdir=DIR \
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
        name="byol",
        hidden_dim=4096,
        output_dim=256,
        momentum=dict(name="cosine", init_value=0.99, end_value=1.0),
    )
    config.views = dict(
        name="barlow_twins",  # Crops and colours of torchvision, BYOL's numbers.
        size=32,
        blur_probability=(0.0, 0.0),
        **CIFAR10,
    )
    config.optimizer = solo_learn_lars(1.0, weight_decay=1e-5)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
