"""BYOL, ResNet-50, ImageNet, 100, 300 or 1000 epochs at batch 4096.

Paper: arXiv:2006.07733, section 3.3; 74.3 % top-1 with a linear probe
       after 1000 epochs (table 1). Rates, decay and momentum of the shorter runs are
       those of the released code.
Run:   jax-ssl train --config=byol_imagenet:1000 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

# Base rate, weight decay and first momentum by the length of the run.
RECIPES = {
    "100": (0.45, 1e-6, 0.99),
    "300": (0.3, 1e-6, 0.99),
    "1000": (0.2, 1.5e-6, 0.996),
}


def get_config(epochs="300"):
    if epochs not in RECIPES:
        raise ValueError(
            f"byol_imagenet:{epochs}: say :{' or :'.join(RECIPES)} epochs."
        )
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    rate, decay, momentum = RECIPES[epochs]
    config.method = dict(
        name="byol",
        momentum=dict(name="cosine", init_value=momentum, end_value=1.0),
    )
    config.views = dict(name="byol", size=224, **IMAGENET)
    config.optimizer = dict(
        name="lars",
        rate="outside",
        weight_decay=decay,
        learning_rate=dict(
            name="warmup_cosine", peak_value=rate, scaling="linear", warmup_epochs=10
        ),
    )
    config.data, config.feed = imagenet(4096)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=float(epochs), seed=0, checkpoint_every_epochs=1)
    return config
