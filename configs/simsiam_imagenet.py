"""SimSiam, ResNet-50, ImageNet, 100 epochs at batch 512.

Paper: arXiv:2011.10566, section 3; 68.1 % top-1 with a linear probe after 100 epochs,
       71.3 % after 800. The rate falls every step here, in the authors' code
       every epoch.
Run:   jax-ssl train --config=simsiam_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(name="simsiam")
    config.views = dict(name="simsiam", size=224, **IMAGENET)
    # Everything decays, as in torch's SGD, and the predictor keeps its rate.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(name="cosine", init_value=0.05, scaling="linear"),
        rates=(("^predictor/", dict(name="constant", value=0.05, scaling="linear")),),
    )
    config.data, config.feed = imagenet(512)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=1)
    return config
