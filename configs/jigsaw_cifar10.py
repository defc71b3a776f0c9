"""Jigsaw puzzles, a small ConvNet, CIFAR-10.

Paper: arXiv:1603.09246; CIFAR-10 is not in it. Of 32 pixels the grid takes 30: tiles of
       8 anywhere in cells of 10. Images are not resized. Tiles keep their means, for
       the encoder is judged on whole images, which have one: with tiles of mean 0 a
       short run fell below raw pixels. Network, optimizer, epochs, the share of grey
       images and the 100 permutations are this library's choice.
Run:   jax-ssl train --config=jigsaw_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    # Three pools make one place of a tile, and 4 x 4 of a whole image.
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256))
    config.method = dict(
        name="jigsaw", num_permutations=100, tile_dim=64, hidden_dims=(512,)
    )
    config.views = dict(
        name="jigsaw",
        size=8,
        gap=2,
        jitter=2,
        resize=None,
        gray_probability=0.33,
        normalize=False,
        **CIFAR10,
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        learning_rate=dict(name="warmup_cosine", peak_value=0.1, warmup_epochs=1),
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=10)
    return config
