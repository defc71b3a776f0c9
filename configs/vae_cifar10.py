"""VAE, Bernoulli pixels, CIFAR-10.

Paper: arXiv:1312.6114, whose images are MNIST and Frey faces and whose networks have
       one hidden layer. ConvNet, optimizer, warm-up of the divergence and length are
       this library's choice, for which there is no published number. Pixels between 0
       and 1 are no coin's: as in much code since, their likelihood is a bound's form
       and not a density; likelihood="gaussian" is one.
Run:   jax-ssl train --config=vae_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import cifar10, cifar10_evals, mirrored
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256), pool="flat")
    config.method = dict(
        name="vae",
        latent_dim=128,
        likelihood="bernoulli",
        decoder_widths=(256, 128, 64),
        beta=dict(name="linear", init_value=0.0, end_value=1.0, epochs=10),
    )
    config.views = mirrored(32)
    config.optimizer = dict(name="adam", learning_rate=1e-3)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals()
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=10)
    return config
