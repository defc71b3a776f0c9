"""A mean teacher on CIFAR-10 with 400 labels, small enough for a laptop.

Paper: arXiv:1703.01780, whose network of 13 layers has an error of 12.31 ± 0.28 % with
       4,000 labels, 15.73 ± 0.31 % with 2,000 and 21.55 ± 1.48 % with 1,000; on these
       labels alone 20.66, 33.94 and 46.43 %. The weight of 100, the sigmoid ramp and
       the two momenta are the paper's; the ConvNet, the crops, the batch, the rate and
       the length of the run are this library's choice.
Run:   jax-ssl train --config=mean_teacher_cifar10:N --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets, N labels a
           class (40 unless given)
       The same labels alone, its control: few_label_cifar10:N without init_from.
Ours:  not yet run; smaller, on part of the images: experiments/few_labels/README.md.
"""

from common import CIFAR10, cifar10
from ml_collections import ConfigDict


def get_config(labels="40"):
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256))
    config.method = dict(
        name="mean_teacher",
        num_classes=10,
        consistency="mse",
        consistency_weight=dict(name="sigmoid_ramp", value=100.0, epochs=20),
        momentum=dict(name="after", first=0.99, value=0.999, epochs=20),
        noise=0.15,
        dropout=0.5,
    )
    config.views = dict(
        name="supervised", num_views=2, size=32, min_scale=0.6, **CIFAR10
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=0.003, warmup_epochs=2),
    )
    config.data, config.feed = cifar10(128)
    config.feed.update(labelled=32, labels_per_class=int(labels))
    config.evals = dict(view=dict(name="identity", **CIFAR10), test=dict(split="test"))
    config.run = dict(num_epochs=60, seed=0, checkpoint_every_epochs=10)
    return config
