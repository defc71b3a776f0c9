"""AMDIM, its own encoder in small, CIFAR-10.

Paper: arXiv:1906.00910; about 91 % with a linear probe, as we recall it, by 128 to 320
       channels (ndf) and 300 epochs. Here the encoder has 64 channels, features of 512
       and two layers a stage, for laptops; and views are crops, as on the paper's other
       data sets, in the place of shifts by 4 pixels, which no recipe of this library
       makes. Optimizer, rate and its drops are those of the released code.
Run:   jax-ssl train --config=amdim_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, amdim_adam, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="amdim", image_size=32, width=64, output_dim=512, depth=2
    )
    config.method = dict(name="amdim", output_dim=512)
    config.views = dict(name="amdim", size=32, gray_probability=0.25, **CIFAR10)
    config.optimizer = amdim_adam(drops=(250, 280))
    config.data, config.feed = cifar10(200)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=300, seed=0, checkpoint_every_epochs=25)
    return config
