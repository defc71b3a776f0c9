"""RotNet, ResNet-50, ImageNet, 105 epochs.

Paper: arXiv:1803.07728, which trains AlexNet. ResNet-50 is the network of
       the model zoo of facebookresearch/vissl: 48.2 % top-1 with a linear probe on it
       after 105 epochs (39.51 with AlexNet). Rate, its drops and the decay are those
       that the zoo has for jigsaw puzzles. Mirror images come before the turns.
Run:   jax-ssl train --config=rotation_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(name="rotation")
    config.views = dict(
        name="mae",
        size=224,
        min_scale=0.08,
        interpolation="bilinear",
        sampling="torchvision",
        **IMAGENET,
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
