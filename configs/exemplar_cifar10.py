"""Exemplar-CNN, 8,000 seeds, a network of about its middle size, CIFAR-10.

Paper: arXiv:1406.6909; it trains on patches of 32 x 32 pixels that it cuts from the
       unlabelled images of STL-10, and has no run on CIFAR-10's own. Here the first
       8,000 images of CIFAR-10 are the seeds, and all of its images are judged. The
       network is its 64c5-128c5-256c5-512f with batch norm, with a kernel of 3 x 3 in
       the third layer and pools of 3 x 3 with stride 2, so that learning begins without
       the smaller set of classes that the paper starts from. Batch, rate and epochs
       are this library's choice.
Run:   jax-ssl train --config=exemplar_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict

# Eigenvectors of the covariance of the pixels of CIFAR-10's training images.
COMPONENTS = (
    (-0.5580, -0.5775, -0.5960),
    (-0.7063, -0.0464, 0.7063),
    (0.4356, -0.8151, 0.3820),
)


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="alexnet",
        widths=(64, 128, 256),
        kernel=5,
        stride=1,
        pools=(1, 2),
        pool="flat",
        hidden_dims=(512,),
    )
    config.method = dict(name="exemplar", dropout=0.5)
    config.views = dict(
        name="exemplar",
        size=32,
        components=COMPONENTS,
        center=CIFAR10["mean"],
        **CIFAR10,
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        learning_rate=dict(name="warmup_cosine", peak_value=0.05, warmup_epochs=10),
    )
    config.data, config.feed = cifar10(128)
    config.data.split = "train[:8000]"
    config.evals = cifar10_evals(**CIFAR10)
    config.evals.train = dict(split="train")
    config.evals.layers = dict()
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=100)
    return config
