"""DeepCluster, ResNet-18, CIFAR-10.

Paper: arXiv:1807.05520; CIFAR-10 is not in it. Ten clusters a class are what it
       finds best on ImageNet; optimizer and epochs are those of its
       released code (facebookresearch/deepcluster: main.py). The pooled features are
       clustered.
Run:   jax-ssl train --config=deepcluster_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(name="deepcluster", num_clusters=100, hidden_dims=())
    config.views = dict(name="deepcluster", size=32, min_scale=0.2, **CIFAR10)
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-5,
        exclude=None,
        learning_rate=0.05,
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=10)
    return config
