"""DeepCluster-v2, ResNet-18, CIFAR-10, two crops.

Paper: arXiv:2006.09882; CIFAR-10 is not in it. The settings are those of solo-learn's
       script at the commit whose README first gives 88.85 % (online linear; e90d420,
       bash_files/pretrain/cifar/deepclusterv2.sh). There the two crops pass batch norm
       one after the other, here together.
Run:   jax-ssl train --config=deepcluster_v2_cifar10 --workdir=DIR \
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
        name="deepcluster_v2",
        num_prototypes=3000,
        num_heads=3,
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
        blur_probability=0.0,
        carried=("index",),
        **CIFAR10,
    )
    # Biases and norms decay and have a trust ratio like all else.
    config.optimizer = solo_learn_lars(
        0.6, weight_decay=1e-6, warmup_epochs=11, init_value=0.0, end_value=0.0006
    )
    config.optimizer["exclude"] = None
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
