"""BiGAN, CIFAR-10; with :big what BigBiGAN adds.

Paper: arXiv:1605.09782 and 1907.02544; CIFAR-10 is not in them. Batch, Adam and weight
       decay are those of jeffdonahue/bigan's scripts, whose networks are DCGAN's with
       5 x 5 taps for the 4 x 4 here. Ten times the encoder's rate in ":big" is recalled
       of BigBiGAN, and sizes and length are this library's choice.
Run:   jax-ssl train --config=bigan_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import bigan_adam, cifar10, cifar10_evals, mirrored
from ml_collections import ConfigDict

CENTERED = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
BIG = dict(unary=True, objective="hinge", prior="normal")


def get_config(kind="plain"):
    if kind not in ("plain", "big"):
        raise ValueError(f"bigan_cifar10:{kind}: say plain or big.")
    config = ConfigDict()
    config.encoder = dict(name="dcgan", widths=(64, 128, 256))
    config.method = dict(
        name="bigan",
        latent_dim=100,
        generator_widths=(256, 128, 64),
        discriminator_widths=(64, 128, 256),
        hidden_dim=512,
        **(BIG if kind == "big" else {}),
    )
    config.views = mirrored(32, **CENTERED)
    config.optimizer = bigan_adam(10 if kind == "big" else 1)
    config.data, config.feed = cifar10(128)
    config.evals = cifar10_evals(**CENTERED)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=20)
    return config
