"""A denoising autoencoder, CIFAR-10; plain with :plain, contractive with :contractive.

Paper: Vincent et al., 2010, JMLR 11 (denoising) and Rifai et al., 2011,
       arXiv:1104.4153 (contractive). Their networks are perceptrons, trained layer by
       layer; ConvNet, optimizer and length are this library's choice, for which there
       is no published number. ":contractive" is the latter paper's one sigmoid layer
       with the exact norm, but with a decoder of convolutions.
Run:   jax-ssl train --config=autoencoder_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import cifar10, cifar10_evals, mirrored
from ml_collections import ConfigDict


def get_config(kind="denoising"):
    kinds = {
        "plain": dict(corruption="none"),
        "denoising": dict(corruption="masking", corruption_amount=0.25),
        # The penalty sums over pixels and units, the error is a mean over pixels.
        "contractive": dict(contraction_weight=1e-4, jacobian="exact"),
    }
    if kind not in kinds:
        raise ValueError(f"autoencoder_cifar10:{kind}: say one of {', '.join(kinds)}.")
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256), pool="flat")
    config.method = dict(
        name="autoencoder", code_dim=128, decoder_widths=(256, 128, 64), **kinds[kind]
    )
    if kind == "contractive":
        config.encoder = dict(name="dense", widths=(1000,), activation="sigmoid")
        config.method.code_dim = None
    config.views = mirrored(32)
    config.optimizer = dict(name="adam", learning_rate=1e-3)
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals()
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=10)
    return config
