"""PIRL with jigsaw puzzles or rotation, or NPID++, ResNet-18, CIFAR-10.

Paper: arXiv:1912.01991; CIFAR-10 is not in it. Of a crop enlarged to 48 pixels the grid
       has cells of 16, and tiles have 12 of them. The temperature and the softmax are
       those of the released code (facebookresearch/vissl) with MLP heads, which are
       linear here; the network, colours of half the strength and without photometric
       changes, the negatives and the epochs are this library's choice.
Run:   jax-ssl train --config=pirl_cifar10:jigsaw --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets;
       :rotation or :none (NPID++) in the place of :jigsaw
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config(pretext="jigsaw"):
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(
        name="pirl",
        pretext=pretext,
        objective="softmax",
        temperature=0.1,
        num_negatives=4096,
    )
    config.views = dict(
        name="pirl",
        pretext=pretext,
        size=32,
        min_scale=0.2,
        tile=12,
        gap=4,
        strength=0.5,
        photometric_probability=0.0,
        **CIFAR10,
    )
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        exclude=None,
        learning_rate=dict(name="cosine", init_value=0.03),
    )
    config.data, config.feed = cifar10(128)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=25)
    return config
