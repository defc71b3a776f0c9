"""CMC of lightness and colours, two ResNet-50, ImageNet, 240 epochs.

Paper: arXiv:1906.05849; 66.2 % top-1 and 87.0 % top-5 with a linear probe on
       ResNet-50, and 68.4 % in the README of the released code (HobbitLong/CMC), whose
       crop, optimizer, batch and banks these are. The 16,384 negatives, 240 epochs and
       their drops are remembered of the paper; that code has 4,096, 400, and drops at
       250, 300 and 350 by default. Its linear classifier is trained at rates of 30 to
       50, here by the sweep of all protocols.
Run:   jax-ssl train --config=cmc_imagenet --workdir=runs/cmc_imagenet \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="resnet50", stem="imagenet", zero_init_residual=False, dtype="bfloat16"
    )
    # Both banks take 1.3 GB on every device; config.mesh.fsdp = 8 cuts each into eight.
    config.method = dict(
        name="cmc",
        objective="nce",
        temperature=0.07,
        num_negatives=16384,
        momentum=0.5,
        output_dim=128,
    )
    # Nothing jitters the colours, and nothing standardizes them.
    config.views = dict(name="cmc", size=224, min_scale=0.08)
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(name="step_decay", value=0.03, drops=(120, 160, 200)),
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals()
    config.run = dict(num_epochs=240, seed=0, checkpoint_every_epochs=1)
    return config
