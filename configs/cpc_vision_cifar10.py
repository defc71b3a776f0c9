"""Contrastive predictive coding, a small ConvNet, CIFAR-10.

Paper: arXiv:1807.03748 (v1) and arXiv:1905.09272 (v2); CIFAR-10 is in neither. All is
       v2's, in small: layer norm, four directions, and colours changed patch by patch.
       Patches of 8 pixels lie 6 pixels apart, 5 x 5 of them, and two rows further none
       overlaps what was seen. Network, optimizer, epochs and the changes of colours are
       this library's choice; v2's operations of AutoAugment would hide most of 8 x 8
       pixels. Evaluation sees the grid of patches of an image, and averages them.
Run:   jax-ssl train --config=cpc_vision_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(32, 64, 128, 256), norm="layer")
    config.method = dict(
        name="cpc_vision",
        patch=8,
        grid=5,
        horizons=(2, 3, 4),
        directions=("down", "up", "right", "left"),
        context_layers=2,
        context_width=128,
        target_dim=64,
    )
    config.views = dict(
        name="cpc_patches",
        size=32,
        patch=8,
        grid=5,
        min_scale=0.6,
        gray_probability=0.0,
        inner=None,
        strength=0.5,
        patch_gray_probability=0.2,
        **CIFAR10,
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_epochs=1),
    )
    config.data, config.feed = cifar10(256)
    config.evals = cifar10_evals(**CIFAR10)
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=10)
    return config
