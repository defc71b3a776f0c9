"""SwAV, ResNet-18, CIFAR-10, two crops and a queue.

Paper: arXiv:2006.09882; CIFAR-10 is not in it. The settings are those of solo-learn's
       scripts/pretrain/cifar/swav.yaml, whose README gives 89.17 % (online linear).
Run:   jax-ssl train --config=configs/swav_cifar10.py --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals, solo_learn_lars
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(
        name="swav",
        num_prototypes=3000,
        freeze_prototypes_steps=390,  # Two epochs.
        queue_size=3840,
        queue_start_epoch=50.0,
        hidden_dim=2048,
        output_dim=128,
    )
    config.views = dict(
        name="swav",
        sizes=(32,),
        counts=(2,),
        min_scales=(0.08,),
        max_scales=(1.0,),
        **CIFAR10,
    )
    config.optimizer = solo_learn_lars(0.6, weight_decay=1e-6)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
