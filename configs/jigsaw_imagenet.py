"""Jigsaw puzzles, ResNet-50, ImageNet, 105 epochs, 2,000 permutations.

Paper: arXiv:1603.09246, whose network has nine AlexNets of one set of weights. This is
       the form of facebookresearch/vissl: 46.73 % top-1 with a linear probe on
       ResNet-50 (100 permutations: 48.57, 10,000: 48.11; jigsaw_imagenet:100).
       Its lists of permutations are published as files; here they are made anew, by
       the mean distance.
Run:   jax-ssl train --config=jigsaw_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config(permutations="2000"):
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(
        name="jigsaw",
        num_permutations=int(permutations),
        distance="mean",
        tile_dim=1000,
        hidden_dims=(),
    )
    # Tiles of mean 0 and deviation 1 there, of `IMAGENET`'s in evaluation.
    config.views = dict(
        name="jigsaw", size=64, gap=21, jitter=21, resize=256, gray_probability=0.66
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        learning_rate=dict(
            name="step_decay", value=0.1, drops=(30, 60, 90, 100), scaling="linear"
        ),
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=105, seed=0, checkpoint_every_epochs=1)
    return config
