"""ClusterFit, ResNet-18, CIFAR-10, on the features of another run.

Paper: arXiv:1912.03330; CIFAR-10 is not in it. The optimizer and the views are those of
       its ImageNet page, with weaker crops; 500 clusters, fifty a class, and the epochs
       are this library's choice.
Run:   jax-ssl train --config=clusterfit_cifar10 --workdir=DIR \
           --config.run.init_from="{'teacher': 'RUN/export/encoder.npz'}", RUN of
           npid_cifar10 or of another page with its encoder \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(
        name="clusterfit",
        num_clusters=500,
        iterations=50,
        teacher=dict(name="resnet18", stem="small"),
    )
    config.views = dict(
        name="npid",
        size=32,
        min_scale=0.2,
        jitter=(0.4, 0.4, 0.4, 0.2),
        gray_probability=0.0,
        **CIFAR10,
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(
            name="step_decay", value=0.1, scaling="linear", drops=(60, 120, 180)
        ),
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=10)
    return config
