"""Distillation of a ResNet-34 into a ResNet-18, ImageNet, 100 epochs.

Paper: arXiv:1503.02531, which has no ImageNet. This pair, with a temperature of 4, has
       become the usual one: arXiv:1910.10699 reports a top-1 error of 29.34 % for it,
       30.25 for the same student alone and 26.69 for the teacher. Optimizer and epochs
       are those of the usual training with labels, 0.1 for a batch of 256.
Run:   jax-ssl train --config=distillation_imagenet:teacher --workdir=T \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
       jax-ssl export --workdir=T --what=classifier
       jax-ssl train --config=distillation_imagenet --workdir=DIR \
           --config.run.init_from="{'teacher': 'T/export/classifier.npz'}" \
           --config.data.data_dir=DIR
       :alone is the same student without a teacher.
Ours:  not yet run.
"""

from common import IMAGENET, imagenet
from ml_collections import ConfigDict

TEACHER = dict(name="resnet34", stem="imagenet", dtype="bfloat16")
STUDENT = dict(name="resnet18", stem="imagenet", dtype="bfloat16")
LABELS = dict(num_classes=1000, first_std=0.01)


def get_config(part="student"):
    if part not in ("student", "teacher", "alone"):
        raise ValueError(f"distillation_imagenet:{part}: say teacher or alone.")
    config = ConfigDict()
    config.encoder = TEACHER if part == "teacher" else STUDENT
    config.method = dict(
        name="classifier", label_smoothing=0.0, mixup=0.0, cutmix=0.0, **LABELS
    )
    if part == "student":
        config.method = dict(
            name="distillation", teacher=TEACHER, temperature=4.0, hard_weight=0.1
        )
        config.method.update(LABELS)
    config.views = dict(name="supervised", size=224, **IMAGENET)
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(
            name="step_decay", value=0.1, scaling="linear", drops=(30, 60, 90)
        ),
    )
    config.data, config.feed = imagenet(256)
    config.evals = dict(
        view=dict(name="center_crop", size=224, resize=256, **IMAGENET),
        test=dict(split="validation"),
    )
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=1)
    return config
