"""SwAV, ResNet-50, ImageNet: batch 4096, or 256 with a queue.

Paper: arXiv:2006.09882, appendix A; top-1 with a linear probe after 100, 200, 400 and
       800 epochs at batch 4096: 72.1, 73.9, 74.6 and 75.3 %; at batch 256 after 200 and
       400: 72.7 and 74.3 %; of two crops alone after 400: 70.1 % (the authors' README,
       whose scripts' settings these are).
Run:   jax-ssl train --config=swav_imagenet:800 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals
from ml_collections import ConfigDict

# The released code's standard deviation of red, 0.228, in training and evaluation.
STANDARD = dict(mean=(0.485, 0.456, 0.406), std=(0.228, 0.224, 0.225))
# Batch size, epochs, base rate and warm-up in epochs of each run.
RECIPES = {
    "100": (4096, 100, 0.3, 10),
    "200": (4096, 200, 0.3, 10),
    "400": (4096, 400, 0.3, 10),
    "800": (4096, 800, 0.3, 10),
    "two-crops": (4096, 400, 0.3, 10),
    "small-batch-200": (256, 200, 0.6, 0),
    "small-batch-400": (256, 400, 0.6, 0),
}


def get_config(recipe="800"):
    if recipe not in RECIPES:
        raise ValueError(f"swav_imagenet:{recipe}: say :{' or :'.join(RECIPES)}.")
    batch_size, epochs, rate, warmup = RECIPES[recipe]
    config = ConfigDict()
    # Batch norm works on eight GPUs of 64 images each; at batch 256 these are four.
    config.encoder = dict(
        name="resnet50",
        stem="imagenet",
        groups=max(1, batch_size // 512),
        zero_init_residual=False,
        dtype="bfloat16",
    )
    config.method = dict(name="swav", freeze_prototypes_steps=313)  # One epoch.
    if batch_size == 256:
        config.method = dict(
            name="swav",
            freeze_prototypes_steps=5005,
            queue_size=3840,
            queue_start_epoch=15.0,
        )
    if recipe == "two-crops":
        crops = dict(sizes=(224,), counts=(2,), min_scales=(0.08,), max_scales=(1.0,))
    else:
        crops = dict(
            sizes=(224, 96),
            counts=(2, 6),
            min_scales=(0.14, 0.05),
            max_scales=(1.0, 0.14),
        )
    config.views = dict(name="swav", **crops, **STANDARD)
    # LARC without a cap, and everything decays.
    config.optimizer = dict(
        name="lars",
        rate="outside",
        denominator="sum",
        weight_decay=1e-6,
        exclude=None,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=rate,
            scaling="linear",
            warmup_epochs=warmup,
            warmup_form="closed",
            init_value=0.3,
            end_value=rate * batch_size / 256 / 1000,
        ),
    )
    config.data, config.feed = imagenet(batch_size)
    config.evals = imagenet_evals(**STANDARD)
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=1)
    return config
