"""U-Net, membranes of neurons in electron microscopy (ISBI 2012).

Paper: arXiv:1505.04597: network, tiles of 572 pixels one a step, momentum, dropout,
       weights at borders and elastic deformations are its own. Rotations, grey values,
       rate and length are this library's choice, for the paper gives no numbers. It
       reports a warping error of 0.000353, a Rand error of 0.0382 and a pixel error of
       0.0611 on the challenge's test stack, whose labels are not public.
       ":laptop" is shallower and narrower, for slices of 256 pixels.
Run:   experiments/segmentation/prepare.py of the sources makes FILE of the training
       stack, whose last six slices are the test part; for ":laptop" with --height=256
       --width=256
       jax-ssl train --config=unet_isbi --workdir=DIR --config.data.path=FILE
Ours:  not yet run; ":laptop" has a mean IoU of 66.1 % where the commonest class has
       40.2: experiments/segmentation/README.md.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.491,), std=(0.171,))


def get_config(size="paper"):
    if size not in ("paper", "laptop"):
        raise ValueError(f"unet_isbi:{size}: say 'paper' or 'laptop'.")
    small = size == "laptop"
    config = ConfigDict()
    config.encoder = dict(name="unet", padding="valid", norm="none", dropout=0.5)
    config.method = dict(name="segmenter", border_weight=10.0, border_sigma=5.0)
    config.views = dict(
        name="segmentation_crops",
        # Of 572 pixels the network keeps the 388 in the middle.
        size=388,
        margin=92,
        flip=0.5,
        vertical_flip=0.5,
        degrees=180.0,
        elastic=10.0,
        strength=1.0,
        jitter=(0.2, 0.2, 0.0, 0.0),
        carried=("mask", "borders"),
        **MOMENTS,
    )
    config.optimizer = dict(name="sgd", momentum=0.99, learning_rate=1e-4)
    config.data = dict(
        name="npz",
        path="isbi.npz",
        split="train",
        fields=dict(mask="mask", borders="distance"),
    )
    config.feed = dict(batch_size=1, resident=True)
    config.evals = dict(
        view=dict(name="segmentation_whole", **MOMENTS),
        test=dict(split="test"),
        segmentation=dict(),
        membranes=dict(),
        batch_size=1,
    )
    config.doctor = None
    config.run = dict(num_steps=30_000, seed=0, checkpoint_every_steps=2_000)
    if small:
        config.encoder.widths = (16, 32, 64, 128)
        config.method.border_sigma = 2.5
        config.views.update(size=116, margin=44, elastic=5.0)
        config.optimizer = dict(
            name="adam",
            learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_steps=50),
        )
        config.feed.batch_size = 4
        config.run.update(num_steps=300, checkpoint_every_steps=None)
    return config
