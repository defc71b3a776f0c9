"""DINO, ResNet-50, ImageNet, 100 epochs, batch 512.

Paper: arXiv:2104.14294: 67.5 % (k-NN) and 75.3 % (linear) after 800 epochs.
       The settings are those of the authors' README for 100 epochs.
Run:   jax-ssl train --config=dino_resnet50_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="resnet50", stem="imagenet", zero_init_residual=False, dtype="bfloat16"
    )
    config.method = dict(
        name="dino",
        num_prototypes=65536,
        student_temperature=0.1,
        teacher_temperature=0.04,
        momentum=dict(name="cosine", init_value=0.996, end_value=1.0),
    )
    config.views = dict(
        name="dino",
        global_size=224,
        local_size=96,
        num_locals=8,
        global_scale=(0.14, 1.0),
        local_scale=(0.05, 0.14),
        **IMAGENET,
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=0.03,
            end_value=1e-6,
            scaling="linear",
            warmup_epochs=10,
            warmup_form="closed",
        ),
        factors=(("^prototypes/", dict(name="after", epochs=1)),),
        clip_each=3.0,
    )
    config.data, config.feed = imagenet(512)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=1)
    return config
