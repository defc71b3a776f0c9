"""A trained ConvNet with its first two layers frozen, few labels a class, CIFAR-10.

Paper: arXiv:1803.07728, its semi-supervised part: the first two
       blocks of RotNet's network are frozen, and what follows learns from n labelled
       images of each class; below some hundred labels a class that beats the same
       network trained on these labels alone. Its network is another (see
       rotation_cifar10), and rate and steps are this library's choice. The frozen
       layers' batch norm goes on with the statistics of the batch.
Run:   jax-ssl train --config=few_label_cifar10:N --workdir=DIR \
           --config.run.init_from=RUN/export/encoder.npz, RUN of rotation_cifar10 or
           of another page with its encoder, N labels a class (20 unless given) \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
       Without run.init_from and with --config.optimizer.factors="()": the same labels
       alone, its control. experiments/frozen_first_layers makes the curve of both.
Ours:  not yet run.
"""

from common import CIFAR10, cifar10
from ml_collections import ConfigDict

FROZEN = "^encoder/(conv|norm)[01]/"


def get_config(labels="20"):
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256))
    config.method = dict(
        name="classifier",
        num_classes=10,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        first_std=0.01,
    )
    config.views = dict(name="supervised", size=32, min_scale=0.6, **CIFAR10)
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        factors=((FROZEN, 0.0),),
        learning_rate=dict(name="warmup_cosine", peak_value=0.05, warmup_steps=100),
    )
    # A multiple of 8, and no more than there are images.
    batch_size = min(96, 10 * int(labels) // 8 * 8)
    config.data, config.feed = cifar10(batch_size)
    config.feed.labels_per_class = int(labels)
    config.evals = dict(view=dict(name="identity", **CIFAR10), test=dict(split="test"))
    config.run = dict(num_steps=4000, seed=0, checkpoint_every_steps=1000)
    return config
