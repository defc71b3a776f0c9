"""InfoMin's views with MoCo, ResNet-50, ImageNet, 200 or 800 epochs at batch 256.

Paper: arXiv:2005.10243; 70.1 % top-1 with a linear probe after 200 epochs, 73.0 % after
       800. Settings are those of the authors' code (HobbitLong/PyContrast, method
       "InfoMin"), which also adds PIRL's branch of shuffled tiles with half of the
       loss: this page has the views without that branch, and the numbers are not its.
Run:   jax-ssl train --config=infomin_imagenet:200 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config(epochs="200"):
    if epochs not in ("200", "800"):
        raise ValueError(f"infomin_imagenet:{epochs}: say :200 or :800 (epochs).")
    config = ConfigDict()
    # Eight groups of 32 rows stand for the eight GPUs of shuffled batch norm.
    config.encoder = dict(
        name="resnet50",
        stem="imagenet",
        groups=8,
        zero_init_residual=False,
        dtype="bfloat16",
    )
    config.method = dict(
        name="moco",
        temperature=0.15,
        momentum=0.999,
        queue_size=65536,
        head_layers=2,
    )
    config.views = dict(name="infomin", size=224, **IMAGENET)
    # Everything decays, as in torch's SGD. The cosine ends at a thousandth.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(name="cosine", init_value=0.03, end_value=3e-5),
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=float(epochs), seed=0, checkpoint_every_epochs=1)
    return config
