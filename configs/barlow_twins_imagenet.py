"""Barlow Twins, ResNet-50, ImageNet, 1000 epochs at batch 2048.

Paper: arXiv:2103.03230, section 2.2; 73.2 % top-1 with a linear probe (table 1), on 32
       GPUs: ":paper". ":readme" is the run of the released weights, 73.5 %, on 16 GPUs
       (facebookresearch/barlowtwins), which has other weights of decay and redundancy.
       The number of GPUs W is part of both recipes. In the released code every GPU
       makes the gradient of the whole loss for its own rows, and the average over GPUs
       is then 1 / W of the gradient. LARS makes that good for matrices, but biases and
       norms have no trust ratio, and their rates were found with it: hence the scale.
Run:   jax-ssl train --config=barlow_twins_imagenet:readme --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

BATCH_SIZE = 2048
# GPUs, weight decay and the redundancy's weight of each run.
RUNS = {"readme": (16, 1e-6, 0.0051), "paper": (32, 1.5e-6, 5e-3)}


def get_config(run="readme"):
    if run not in RUNS:
        raise ValueError(f"barlow_twins_imagenet:{run}: say :{' or :'.join(RUNS)}.")
    gpus, decay, redundancy = RUNS[run]
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(
        name="barlow_twins", redundancy_weight=redundancy, scale=1 / gpus
    )
    config.views = dict(name="barlow_twins", size=224, **IMAGENET)

    def rate(base):  # Ends at a thousandth of the scaled rate.
        return dict(
            name="warmup_cosine",
            peak_value=base,
            scaling="linear",
            warmup_epochs=10,
            end_value=base * BATCH_SIZE / 256 / 1000,
        )

    config.optimizer = dict(
        name="lars",
        rate="outside",
        weight_decay=decay,
        learning_rate=rate(0.2),
        rates=(("(bias|scale)$", rate(0.0048)),),
    )
    config.data, config.feed = imagenet(BATCH_SIZE)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=1)
    return config
