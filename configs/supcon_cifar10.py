"""SupCon, ResNet-50, CIFAR-10, 1000 epochs. It learns from the labels.

Paper: arXiv:2004.11362: 96.0 % top-1 with a linear classifier on the frozen
       encoder, against 95.0 % of cross-entropy and 93.6 % of SimCLR. The settings are
       those of the authors' PyTorch code (HobbitLong/SupContrast), which is where the
       numbers are from.
Run:   jax-ssl train --config=supcon_cifar10 --workdir=runs/supcon_cifar10 \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="small", zero_init_residual=False)
    config.method = dict(
        name="supcon",
        temperature=0.1,
        scale=0.1 / 0.07,
        hidden_dim=2048,
        output_dim=128,
    )
    config.views = dict(name="supcon", size=32, **CIFAR10)
    # Everything decays, as in torch's SGD. The cosine ends at a thousandth.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=0.5,
            end_value=5e-4,
            warmup_epochs=10,
        ),
    )
    config.data, config.feed = cifar10(1024)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
