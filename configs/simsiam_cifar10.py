"""SimSiam, ResNet-18, CIFAR-10.

Paper: arXiv:2011.10566, appendix D: SGD, base rate 0.03 without warm-up, weight decay
       5e-4, batch 512, 800 epochs, a projector of two layers, no blur; 91.8 % (linear).
       That the predictor keeps its rate is said of ImageNet alone. The rate falls every
       step here, in the authors' code every epoch.
Run:   jax-ssl train --config=simsiam_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(name="simsiam", head_layers=2)
    config.views = dict(name="simsiam", size=32, blur_probability=0.0, **CIFAR10)
    # Everything decays, as in torch's SGD, and the predictor keeps its rate.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        exclude=None,
        learning_rate=dict(name="cosine", init_value=0.03, scaling="linear"),
        rates=(("^predictor/", dict(name="constant", value=0.03, scaling="linear")),),
    )
    config.data, config.feed = cifar10(512)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=800, seed=0, checkpoint_every_epochs=25)
    return config
