"""VICReg, ResNet-18, CIFAR-10.

Paper: arXiv:2105.04906; CIFAR-10 is not in it. The settings are those of solo-learn's
       scripts/pretrain/cifar/vicreg.yaml, whose README gives 92.07 % (online linear).
Run:   jax-ssl train --config=configs/vicreg_cifar10.py --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals, solo_learn_lars
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(name="vicreg", hidden_dim=2048, output_dim=2048)
    config.views = dict(
        name="vicreg",
        size=32,
        min_scale=0.2,
        blur_probability=(0.0, 0.0),
        solarize_probability=(0.1, 0.1),
        **CIFAR10,
    )
    config.optimizer = solo_learn_lars(0.3, weight_decay=1e-4)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
