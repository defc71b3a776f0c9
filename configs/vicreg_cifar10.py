"""VICReg, ResNet-18, CIFAR-10.

Paper: arXiv:2105.04906; CIFAR-10 is not in it. The settings are those of solo-learn's
       script at the commit whose README first gives 92.07 % (online linear; fca55e3,
       bash_files/pretrain/cifar/vicreg.sh). That script leaves the blur at its parser's
       default of 0.5; from a month later on (e90d420) it says 0, which is
       --config.views.blur_probability="(0.0, 0.0)". Its last layer has a bias, which
       this loss does not see.
Run:   jax-ssl train --config=vicreg_cifar10 --workdir=DIR \
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
    # 25 in that script, whose loss adds the variance terms of the two views up; here
    # they are averaged.
    config.method = dict(
        name="vicreg", variance_weight=50.0, hidden_dim=2048, output_dim=2048
    )
    config.views = dict(
        name="vicreg",
        size=32,
        min_scale=0.2,
        blur_probability=(0.5, 0.5),
        solarize_probability=(0.1, 0.1),
        **CIFAR10,
    )
    config.optimizer = solo_learn_lars(0.3, weight_decay=1e-4)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
