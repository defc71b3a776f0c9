"""NPID with the softmax over all images, ResNet-18, CIFAR-10.

Paper: arXiv:1805.01978, section 4.1: 80.8 % with weighted k-NN. The settings are those
       of the released code (zhirongw/lemniscate.pytorch: cifar.py), which votes on
       what the head says, as here; in training, pooled features are watched.
Run:   jax-ssl train --config=npid_cifar10 --workdir=runs/npid_cifar10 \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10_WITHIN, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small", zero_init_residual=False)
    config.method = dict(name="npid", objective="softmax", temperature=0.1)
    config.views = dict(
        name="npid", size=32, flip=0.0, gray_first=False, **CIFAR10_WITHIN
    )
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        exclude=None,
        learning_rate=dict(name="step_decay", value=0.03, drops=(120, 160)),
    )
    config.data, config.feed = cifar10(128)
    config.evals = cifar10_evals(reads="head", **CIFAR10_WITHIN)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=25)
    return config
