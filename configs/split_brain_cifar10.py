"""Split-brain autoencoder, two halves of AlexNet, CIFAR-10.

Paper: arXiv:1611.09842; CIFAR-10 is not in it. Halves and bins are the paper's; crops,
       optimizer and epochs are this library's choice for images of 32 pixels, those of
       colorization_cifar10.
Run:   jax-ssl train --config=split_brain_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import cifar10, cifar10_evals, plain_crops
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    # Half of AlexNet's channels; both halves have 96, 256, 384, 384 and 256.
    config.encoder = dict(
        name="alexnet", widths=(48, 128, 192, 192, 128), kernel=5, stride=1
    )
    config.method = dict(name="split_brain", objective="classification")
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
