"""Segmentation of road scenes (CamVid, SegNet's 11 classes), of a laptop's size.

Paper: arXiv:1505.04597, U-Net, whose CamVid this is not: with padding and batch norm,
       on images of 120 x 160 pixels. Classes are weighted by the median of their
       frequencies over their own, as in SegNet (arXiv:1511.00561), which reports a mean
       IoU of 60.10 % at 360 x 480 pixels after pre-training on ImageNet.
       ":resnet18" has a ResNet-18 with its small stem in the place of the contracting
       path; --config.run.init_from=RUN/export/encoder.npz starts from one that a
       self-supervised run has exported, --config.method.freeze_encoder=True keeps it.
Run:   experiments/segmentation/prepare.py of the sources makes FILE of images and masks
       jax-ssl train --config=segmenter_camvid --workdir=DIR \
           --config.data.path=FILE
Ours:  not yet run at this length; 300 steps, two seeds: mean IoU 24.8 and 27.5 %,
       the commonest class 2.4; experiments/segmentation/README.md.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.412, 0.424, 0.432), std=(0.299, 0.303, 0.299))
ENCODERS = {
    "unet": dict(
        name="unet", widths=(16, 32, 64, 128, 128), padding="same", norm="batch"
    ),
    "resnet18": dict(name="resnet18", stem="small"),
}


def get_config(encoder="unet"):
    if encoder not in ENCODERS:
        raise ValueError(
            f"segmenter_camvid:{encoder}: say one of {', '.join(ENCODERS)}."
        )
    config = ConfigDict()
    config.encoder = ENCODERS[encoder]
    config.method = dict(
        name="segmenter",
        # In the order of mask_names, counted on the training part at this size.
        class_weights=(
            *(0.279, 0.202, 4.713, 0.149, 1.0, 0.424),
            *(3.848, 1.979, 0.789, 6.378, 8.816),
        ),
        decoder_widths=(16, 32, 64, 128),
    )
    config.views = dict(
        name="segmentation_crops",
        size=(96, 128),
        min_scale=0.8,
        max_scale=1.5,
        strength=1.0,
        **MOMENTS,
    )
    config.optimizer = dict(
        name="adamw",
        weight_decay=1e-4,
        learning_rate=dict(name="warmup_cosine", peak_value=2e-3, warmup_steps=50),
    )
    config.data = dict(
        name="npz", path="camvid.npz", split="train", fields=dict(mask="mask")
    )
    config.feed = dict(batch_size=8, resident=True)
    config.evals = dict(
        view=dict(name="segmentation_whole", **MOMENTS),
        test=dict(split="test"),
        segmentation=dict(),
        batch_size=8,
    )
    config.doctor = None
    config.run = dict(num_steps=800, seed=0, log_every_steps=50)
    return config
