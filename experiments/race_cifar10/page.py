"""SimCLR, ResNet-18, CIFAR-10, for speed: the race to 90 % k-NN.

The page configs/simclr_cifar10.py in bfloat16, an epoch a dispatch, with the weaker
graying (0.1) of dkobak/simclr-cifar10, torchvision's first weights, a head of two
layers, the loss as a mean over all rows, and k-NN with k = 10 as there.

Run:   run.py beside this page.
Ours:  not yet run.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

PAGE = pathlib.Path(__file__).parents[2] / "configs" / "simclr_cifar10.py"
STEPS_PER_EPOCH = 97


def get_config(epochs="500"):
    config = ConfigDict(load_page(str(PAGE)).to_dict())
    config.encoder.update(dtype="bfloat16", kernel_init="he_fan_out")
    config.views.gray_probability = 0.1
    config.method.update(head_layers=2, scale=1.0)
    # All that stands on the run's way is the training: one look an eighth of the way.
    vote = dict(k=10, temperature=0.1)
    look = max(1, int(epochs) // 8)
    config.evals.online = dict(
        every_epochs=look, max_bank=45_000, max_queries=5_000, **vote
    )
    config.evals.knn = vote
    config.evals.linear = None
    config.evals.few_label = None
    config.run = dict(
        num_epochs=int(epochs),
        seed=0,
        steps_per_call=STEPS_PER_EPOCH,
        log_every_steps=STEPS_PER_EPOCH,
        checkpoint_every_epochs=look,
        view_dtype="bfloat16",
        report=False,
    )
    return config
