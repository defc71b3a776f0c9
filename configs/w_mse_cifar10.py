"""W-MSE, ResNet-18, CIFAR-10, two views; ":4" for four.

Paper: arXiv:2007.06346; 91.55 % with two views and 91.99 % with four
       (linear probe). Settings of the released code: Adam, rate 3e-3 with 500 steps
       of warm-up, five times lower 50 and 25 epochs before the end. The first step of
       the warm-up has a rate of 0 here, of 1/500 of the peak there, and so on.
Run:   jax-ssl train --config=w_mse_cifar10 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import CIFAR10_WITHIN, cifar10, cifar10_evals
from ml_collections import ConfigDict


def get_config(num_views="2"):
    if num_views not in ("2", "4"):
        raise ValueError(f"w_mse_cifar10:{num_views}: say :2 or :4 (views).")
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small", zero_init_residual=False)
    config.method = dict(
        name="w_mse", sub_batch_size=128, hidden_dim=1024, output_dim=64
    )
    config.views = dict(
        name="w_mse",
        size=32,
        num_views=int(num_views),
        min_scale=0.2,
        jitter=(0.4, 0.4, 0.4, 0.1),
        gray_probability=0.1,
        **CIFAR10_WITHIN,
    )
    config.optimizer = dict(
        name="adam",
        weight_decay=1e-6,
        exclude=None,
        learning_rate=dict(
            name="step_decay",
            value=3e-3,
            drops=(950, 975),
            factor=0.2,
            warmup_steps=500,
        ),
    )
    config.data, config.feed = cifar10(1024 // int(num_views))
    config.evals = cifar10_evals(**CIFAR10_WITHIN)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=25)
    return config
