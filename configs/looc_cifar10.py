"""LooC with spaces that keep colours and turns, ResNet-18, CIFAR-10.

Paper: arXiv:2008.05659; CIFAR-10 is not in it. All but the spaces and the turns is
       that of moco_cifar10.
Run:   jax-ssl train --config=looc_cifar10 --workdir=runs/looc_cifar10 \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10_WITHIN, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    # Eight groups of 64 rows, for the keys' shuffled batch norm.
    config.encoder = dict(
        name="resnet18", stem="small", groups=8, zero_init_residual=False
    )
    config.method = dict(
        name="looc",
        num_kept=2,
        temperature=0.1,
        momentum=0.99,
        queue_size=4096,
        hidden_dim=512,
    )
    config.views = dict(
        name="looc",
        kept=("color", "rotation"),
        size=32,
        blur_probability=0.0,
        **CIFAR10_WITHIN,
    )
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        exclude=None,
        learning_rate=dict(name="cosine", init_value=0.06),
    )
    config.data, config.feed = cifar10(512)
    config.evals = cifar10_evals(**CIFAR10_WITHIN)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=25)
    return config
