"""MoCo v2 with both views as queries (solo-learn's "MoCo v2+"), ResNet-18, CIFAR-10.

Paper: arXiv:2003.04297; CIFAR-10 is not in it. The settings are those of solo-learn's
       script at the commit whose README first gives 92.94 % (online linear; fca55e3,
       bash_files/pretrain/cifar/mocov2plus.sh). That script leaves the blur at its
       parser's default of 0.5; from a month later on (e90d420) it says 0, which is
       --config.views.blur_probability=0.0. There the keys of each view have a queue of
       32,768, here those of both views share one of that size, which is as many
       negatives from half as many steps.
Run:   jax-ssl train --config=moco_v2_plus_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals, solo_learn_resnet18
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    # One group of batch norm over the whole batch, for it ran on one GPU.
    config.encoder = solo_learn_resnet18()
    config.method = dict(
        name="moco",
        temperature=0.2,
        momentum=dict(name="cosine", init_value=0.99, end_value=0.999),
        queue_size=32768,
        hidden_dim=2048,
        output_dim=128,
        head_layers=2,
        symmetric=True,
    )
    config.views = dict(
        name="moco_v2",
        size=32,
        min_scale=0.08,
        interpolation="bicubic",
        **CIFAR10,
    )
    # Everything decays, as in torch's SGD. That script has a rate of 0.3 and a decay of
    # 1e-4 for the mean of the two directions' losses, here the loss is their sum: half
    # the rate and twice the decay make the same steps.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=2e-4,
        exclude=None,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=0.15,
            scaling="linear",
            warmup_epochs=10,
            warmup_form="closed",
            init_value=0.0015,
        ),
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
