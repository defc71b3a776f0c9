"""DINO, ResNet-18, CIFAR-10, two crops.

Paper: arXiv:2104.14294; CIFAR-10 is not in it. The settings are those of solo-learn's
       script at the commit whose README first gives 89.52 % (online linear; fca55e3,
       bash_files/pretrain/cifar/dino.sh). There the two views pass batch norm one after
       the other, here together, and the teacher's temperature moves once an epoch.
Run:   jax-ssl train --config=dino_cifar10 --workdir=DIR \
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
        name="dino",
        num_prototypes=4096,
        hidden_dim=2048,
        bottleneck_dim=256,
        head_norm="batch",
        student_temperature=0.1,
        teacher_temperature=dict(
            name="linear", init_value=0.04, end_value=0.07, epochs=50
        ),
        momentum=dict(name="cosine", init_value=0.9995, end_value=1.0),
    )
    config.views = dict(
        name="barlow_twins",  # Crops and colours of torchvision, BYOL's numbers.
        size=32,
        blur_probability=(0.0, 0.0),
        **CIFAR10,
    )
    config.optimizer = dict(
        factors=(("^prototypes/", dict(name="after", epochs=1)),),
        **solo_learn_lars(0.3, weight_decay=1e-6),
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
