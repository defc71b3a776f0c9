"""NPID with noise-contrastive estimation, ResNet-50, ImageNet, 200 epochs.

Paper: arXiv:1805.01978, sections 3 and 4.2: 54.0 % top-1 with a linear probe, 46.5 %
       with k-NN. Z is estimated once, and no proximal term is used, as in the released
       code (zhirongw/lemniscate.pytorch). It votes on what the head says, as here; in
       training, pooled features are watched.
Run:   jax-ssl train --config=npid_imagenet --workdir=runs/npid_imagenet \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="resnet50", stem="imagenet", zero_init_residual=False, dtype="bfloat16"
    )
    # The bank takes 0.66 GB on every device; config.mesh.fsdp = 8 cuts it into eight.
    config.method = dict(
        name="npid", objective="nce", temperature=0.07, num_negatives=4096
    )
    config.views = dict(name="npid", size=224, **IMAGENET)
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(name="step_decay", value=0.03, drops=(120, 160)),
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals(k=200, reads="head", **IMAGENET)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=1)
    return config
