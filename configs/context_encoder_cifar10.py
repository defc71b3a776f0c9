"""Context encoder, CIFAR-10: the middle 16 x 16 of 32 x 32 pixels.

Paper: arXiv:1604.07379; CIFAR-10 is not in it. A quarter of the released network for
       128 pixels (pathak22/context-encoder, train.lua) in sides and overlap, its losses
       and rates; the width of the code and the length are this library's choice.
       ":l2" and ":adversarial" have one of the two losses alone.
Run:   jax-ssl train --config=context_encoder_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import cifar10, cifar10_evals, mirrored, two_players
from ml_collections import ConfigDict

# To [-1, 1], which the decoder's tanh makes.
CENTERED = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
WEIGHTS = {"l2": (1.0, 0.0), "adversarial": (0.0, 1.0), "joint": (0.999, 0.001)}


def get_config(losses="joint"):
    if losses not in WEIGHTS:
        raise ValueError(
            f"context_encoder_cifar10:{losses}: say one of {', '.join(WEIGHTS)}."
        )
    reconstruction, adversarial = WEIGHTS[losses]
    config = ConfigDict()
    config.encoder = dict(name="dcgan", widths=(64, 128, 256))
    config.method = dict(
        name="context_encoder",
        region="center",
        overlap=1,
        # Of CIFAR-10's training images, in [-1, 1].
        fill=(-0.017, -0.036, -0.107),
        code_dim=512,
        decoder_widths=(256, 128),
        discriminator_widths=(64, 128),
        reconstruction_weight=reconstruction,
        adversarial_weight=adversarial,
    )
    config.views = mirrored(32, **CENTERED)
    config.optimizer = two_players(2e-3, 2e-4 if adversarial else None)
    config.data, config.feed = cifar10(128)
    config.evals = cifar10_evals(**CENTERED)
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=10)
    return config
