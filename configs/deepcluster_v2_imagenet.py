"""DeepCluster-v2, ResNet-50, ImageNet, batch 4096.

Paper: arXiv:2006.09882, appendix; top-1 with a linear probe after 800 epochs with six
       small crops: 75.2 %; after 400 with four, at 160 and 96 pixels: 74.3 %; after 400
       with two crops alone: 70.2 % (the authors' README, whose scripts' settings these
       are).
Run:   jax-ssl train --config=deepcluster_v2_imagenet:800 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals
from ml_collections import ConfigDict

# The released code's standard deviation of red, 0.228, in training and evaluation.
STANDARD = dict(mean=(0.485, 0.456, 0.406), std=(0.228, 0.224, 0.225))
# Epochs, and sizes, counts and smallest areas of the crops of each run.
RECIPES = {
    "400": (400, (160, 96), (2, 4), (0.08, 0.05)),
    "800": (800, (224, 96), (2, 6), (0.14, 0.05)),
    "two-crops": (400, (224,), (2,), (0.08,)),
}


def get_config(recipe="800"):
    if recipe not in RECIPES:
        raise ValueError(
            f"deepcluster_v2_imagenet:{recipe}: say :{' or :'.join(RECIPES)}."
        )
    epochs, sizes, counts, min_scales = RECIPES[recipe]
    config = ConfigDict()
    # Batch norm works on eight GPUs of 64 images each.
    config.encoder = dict(
        name="resnet50",
        stem="imagenet",
        groups=8,
        zero_init_residual=False,
        dtype="bfloat16",
    )
    # The memory takes 1.3 GB on every device; config.mesh.fsdp = 8 cuts it into eight.
    config.method = dict(name="deepcluster_v2", num_prototypes=3000, num_heads=3)
    config.views = dict(
        name="swav",
        sizes=sizes,
        counts=counts,
        min_scales=min_scales,
        max_scales=(1.0, 0.14)[: len(sizes)],
        carried=("index",),
        **STANDARD,
    )
    # LARC without a cap, and everything decays.
    config.optimizer = dict(
        name="lars",
        rate="outside",
        denominator="sum",
        weight_decay=1e-6,
        exclude=None,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=4.8,
            warmup_epochs=10,
            warmup_form="closed",
            init_value=0.3,
            end_value=0.0048,
        ),
    )
    config.data, config.feed = imagenet(4096)
    config.evals = imagenet_evals(**STANDARD)
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=1)
    return config
