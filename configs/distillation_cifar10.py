"""Distillation of a wide ConvNet into a narrow one, CIFAR-10, for a laptop.

Paper: arXiv:1503.02531, which has no CIFAR-10; networks, crops, rate, epochs, the
       temperature of 4 and the weight of 0.1 of the labels are this library's choice.
Run:   jax-ssl train --config=distillation_cifar10:teacher --workdir=T \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
       jax-ssl export --workdir=T --what=classifier
       jax-ssl train --config=distillation_cifar10 --workdir=DIR \
           --config.run.init_from="{'teacher': 'T/export/classifier.npz'}" \
           --config.data.data_dir=DIR
       :alone is the same student without a teacher. A hint too (FitNets,
       arXiv:1412.6550): --config.method.hint="(2, 2)", the third stages of both. A
       teacher of few labels, and images without: experiments/few_labels.
Ours:  not yet run; smaller, on part of the images: experiments/few_labels/README.md.
"""

from common import CIFAR10, cifar10
from ml_collections import ConfigDict

WIDE = dict(name="convnet", widths=(64, 128, 256, 512))
NARROW = dict(name="convnet", widths=(16, 32, 64, 128))
LABELS = dict(num_classes=10, first_std=0.01)


def get_config(part="student"):
    if part not in ("student", "teacher", "alone"):
        raise ValueError(f"distillation_cifar10:{part}: say teacher or alone.")
    config = ConfigDict()
    config.encoder = WIDE if part == "teacher" else NARROW
    config.method = dict(
        name="classifier", label_smoothing=0.0, mixup=0.0, cutmix=0.0, **LABELS
    )
    if part == "student":
        config.method = dict(
            name="distillation", teacher=WIDE, temperature=4.0, hard_weight=0.1
        )
        config.method.update(LABELS)
    config.views = dict(name="supervised", size=32, min_scale=0.6, **CIFAR10)
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        learning_rate=dict(name="warmup_cosine", peak_value=0.05, warmup_epochs=2),
    )
    config.data, config.feed = cifar10(128)
    config.evals = dict(view=dict(name="identity", **CIFAR10), test=dict(split="test"))
    config.run = dict(num_epochs=60, seed=0, checkpoint_every_epochs=10)
    return config
