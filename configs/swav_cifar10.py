"""SwAV, ResNet-18, CIFAR-10, two crops and a queue.

Paper: arXiv:2006.09882; CIFAR-10 is not in it. The settings are those of solo-learn's
       script at the commit whose README first gives 89.17 % (online linear; fca55e3,
       bash_files/pretrain/cifar/swav.sh). That script leaves the blur at its parser's
       default of 0.5; from a month later on (e90d420) it says 0, and today's
       symmetric.yaml 0.5 again. There the prototypes have learned lengths, here they
       are unit rows, as in the paper; and there the two crops pass batch norm one after
       the other, here together.
Run:   jax-ssl train --config=swav_cifar10 --workdir=DIR \
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
        interpolation="bicubic",
        **CIFAR10,
    )
    # Biases and norms decay and have a trust ratio like all else.
    config.optimizer = solo_learn_lars(0.6, weight_decay=1e-6, end_value=0.0006)
    config.optimizer["exclude"] = None
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
