"""Triplet loss between two views, ResNet-18, CIFAR-10.

Paper: arXiv:1503.03832, section 3 (margin 0.2, semi-hard negatives), on faces with
       labels; no figure for CIFAR-10. Views, head and optimizer are those of SimCLR
       (simclr_cifar10), so that the two losses can be compared.
Run:   jax-ssl train --config=triplet_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(
        name="triplet", margin=0.2, mining="semi-hard", hidden_dim=512, head_layers=2
    )
    # SimCLR's appendix B.9: half the colour strength and no blur at 32 pixels.
    config.views = dict(name="two_crops", size=32, strength=0.5, blur_probability=0.0)
    config.optimizer = dict(
        name="lars",
        weight_decay=1e-4,
        learning_rate=dict(
            name="warmup_cosine", peak_value=1.0, scaling="linear", warmup_epochs=10
        ),
    )
    config.data, config.feed = cifar10(512)
    config.evals = cifar10_evals()
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
