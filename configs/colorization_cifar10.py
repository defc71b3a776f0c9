"""Colorization, AlexNet, CIFAR-10.

Paper: arXiv:1603.08511; CIFAR-10 is not in it. Bins, rebalancing, Adam's moments and
       the decay are the paper's; crops, learning rate and epochs are this library's
       choice for images of 32 pixels, whose colours are predicted on 7 x 7 cells.
Run:   jax-ssl train --config=colorization_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import cifar10, cifar10_evals, plain_crops
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="alexnet", kernel=5, stride=1)
    config.method = dict(name="colorization", neighbors=5, uniform_share=0.5)
    # Colours are the target: nothing jitters them, and nothing standardizes them.
    config.views = plain_crops(size=32, min_scale=0.5)
    config.optimizer = dict(
        name="adam",
        b1=0.9,
        b2=0.99,
        weight_decay=1e-3,
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_epochs=5),
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals()
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=10)
    return config
