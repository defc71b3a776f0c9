"""SimCLR, ResNet-50, ImageNet, 100 or 1000 epochs at batch 4096.

Paper: arXiv:2002.05709, sections 2.1-2.3 and appendix B; 69.3 % top-1 with a linear
       probe after 1000 epochs (table 6), 64.5 % after 100 (table 1).
Run:   jax-ssl train --config=simclr_imagenet:1000 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config(epochs="100"):
    if epochs not in ("100", "1000"):
        raise ValueError(f"simclr_imagenet:{epochs}: say :100 or :1000 (epochs).")
    config = ConfigDict()
    config.encoder = dict(
        name="resnet50", stem="imagenet", kernel_init="lecun_fan_in", dtype="bfloat16"
    )
    # The sum of two means of B rows each, as in the authors' code, is 2 times the mean.
    config.method = dict(
        name="simclr", temperature=0.1, hidden_dim=2048, output_dim=128, scale=2.0
    )
    config.views = dict(name="two_crops", size=224)
    # 0.3 * 4096 / 256 = 4.8 after ten epochs of warm-up; appendix B.1. For 100 epochs
    # the square-root rule, 0.075 * sqrt(4096), gives the same 4.8 at this batch.
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
