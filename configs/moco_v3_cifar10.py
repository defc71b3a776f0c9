"""MoCo v3, ResNet-18, CIFAR-10.

Paper: arXiv:2104.02057; its CIFAR-10 is a transfer. The settings are those of
       solo-learn's script at the commit whose README first gives 93.10 % (online
       linear; bbf2d7e, bash_files/pretrain/cifar/mocov3.sh). Its later mocov3.yaml has
       other colours, no blur, smaller crops and capped rates; a user of that reports
       about 90 % (its issue 385).
Run:   jax-ssl train --config=moco_v3_cifar10 --workdir=DIR \
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
        name="moco_v3",
        temperature=0.2,
        momentum=dict(name="cosine", init_value=0.99, end_value=1.0),
        head_layers=2,
        predictor_norm="none",
    )
    config.views = dict(
        name="moco_v3",
        size=32,
        min_scale=0.2,
        interpolation="bicubic",
        jitter=(0.4, 0.4, 0.4, 0.1),
        **CIFAR10,
    )
    # No layer's rate is capped in this run, and the warm-up starts lower.
    config.optimizer = solo_learn_lars(0.3, weight_decay=1e-6, init_value=3e-5)
    config.optimizer["cap"] = False
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
