"""MoCo, ResNet-18, CIFAR-10, 200, 400 or 800 epochs.

Paper: arXiv:1911.05722; CIFAR-10 is not in it. The settings are those of the authors'
       demonstration (facebookresearch/moco, colab/moco_cifar10_demo.ipynb), whose k-NN
       accuracies after 200, 400 and 800 epochs are 82.6, 86.3 and 88.7 %, and with
       config.method.symmetric=True 85.3, 88.5 and 89.7 %. They are of what the head
       says, as here; in training, pooled features are watched. The rate falls every
       step here, there every epoch.
Run:   jax-ssl train --config=moco_cifar10:200 --workdir=runs/moco_cifar10 \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10_WITHIN, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config(epochs="200"):
    if epochs not in ("200", "400", "800"):
        raise ValueError(f"moco_cifar10:{epochs}: say :200, :400 or :800 (epochs).")
    config = ConfigDict()
    # Eight groups of 64 rows stand for the eight GPUs of shuffled batch norm.
    config.encoder = dict(
        name="resnet18", stem="small", groups=8, zero_init_residual=False
    )
    config.method = dict(
        name="moco",
        temperature=0.1,
        momentum=0.99,
        queue_size=4096,
        head_layers=1,
        symmetric=False,
    )
    config.views = dict(
        name="moco_v2",
        size=32,
        min_scale=0.08,
        blur_probability=0.0,
        **CIFAR10_WITHIN,
    )
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        exclude=None,
        learning_rate=dict(name="cosine", init_value=0.06),
    )
    config.data, config.feed = cifar10(512)
    config.evals = cifar10_evals(reads="head", **CIFAR10_WITHIN)
    config.run = dict(num_epochs=float(epochs), seed=0, checkpoint_every_epochs=25)
    return config
