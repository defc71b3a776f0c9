"""LooC with spaces that keep colours and turns, ResNet-50, 500 epochs.

Paper: arXiv:2008.05659, which trains on 100 classes of ImageNet; its code is not
       public, and the settings here are MoCo v2's with the paper's queue of 16,384, as
       remembered. Its number is that of 100 classes, about 81 % top-1 with a linear
       probe, and nothing that all of ImageNet compares with. Textures are not
       randomised, for which a stylised copy of the data set is needed.
Run:   jax-ssl train --config=looc_imagenet --workdir=runs/looc_imagenet \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets;
       --config.method.evaluated=spaces for LooC++
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
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
        name="looc", num_kept=2, temperature=0.2, momentum=0.999, queue_size=16384
    )
    config.views = dict(name="looc", kept=("color", "rotation"), size=224, **IMAGENET)
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(name="cosine", init_value=0.03),
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=500, seed=0, checkpoint_every_epochs=1)
    return config
