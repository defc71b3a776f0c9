"""Triplet loss between two views, ResNet-50, ImageNet, 100 or 1000 epochs.

Paper: arXiv:1503.03832, section 3 (margin 0.2, semi-hard negatives), on faces with
       labels; no figure for ImageNet. Views, head and optimizer are those of SimCLR
       (simclr_imagenet), so that the two losses can be compared.
Run:   jax-ssl train --config=triplet_imagenet:100 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config(epochs="100"):
    if epochs not in ("100", "1000"):
        raise ValueError(f"triplet_imagenet:{epochs}: say :100 or :1000 (epochs).")
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(
        name="triplet", margin=0.2, mining="semi-hard", hidden_dim=2048, head_layers=2
    )
    config.views = dict(name="two_crops", size=224)
    # 0.3 * 4096 / 256 = 4.8 after ten epochs of warm-up; SimCLR's appendix B.1.
    config.optimizer = dict(
        name="lars",
        weight_decay=1e-6,
        learning_rate=dict(
            name="warmup_cosine", peak_value=0.3, scaling="linear", warmup_epochs=10
        ),
    )
    config.data, config.feed = imagenet(4096)
    config.evals = imagenet_evals()
    config.run = dict(num_epochs=float(epochs), seed=0, checkpoint_every_epochs=1)
    return config
