"""SimCLR, ResNet-18, CIFAR-10.

Paper: arXiv:2002.05709, appendix B.9. The authors' README gives about 91 % (linear
       evaluation) for ResNet-18 with these settings: batch 512, LARS, rate 1.0 scaled
       linearly to 2.0, weight decay 1e-4, temperature 0.5, 1000 epochs, a head of three
       layers.
Run:   jax-ssl train --config=simclr_cifar10 --workdir=runs/simclr_cifar10 \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run at full length; a short run in experiments/simclr_cifar10.
"""

from common import cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small", kernel_init="lecun_fan_in")
    # The sum of two means of B rows each, as in the authors' code, is 2 times the mean.
    config.method = dict(
        name="simclr",
        temperature=0.5,
        hidden_dim=512,
        output_dim=128,
        head_layers=3,
        scale=2.0,
    )
    # Appendix B.9: half the colour strength and no blur at 32 pixels.
    config.views = dict(name="two_crops", size=32, strength=0.5, blur_probability=0.0)
    config.optimizer = dict(
        name="lars",
        weight_decay=1e-4,
        learning_rate=dict(
            name="warmup_cosine", peak_value=1.0, scaling="linear", warmup_epochs=10
        ),
    )
    config.data, config.feed = cifar10(512)
    config.evals = cifar10_evals()
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
