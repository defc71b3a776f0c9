"""A very small encoder on CamVid's training images, judged by its dense features.

Paper: arXiv:2002.05709, SimCLR, whose page for CIFAR-10 is made small; the linear head
       is that of DINOv2, arXiv:2304.07193, and the decoder U-Net's, arXiv:1505.04597.
Run:   see README.md beside this; FILE is made by experiments/segmentation/prepare.py
Ours:  mean IoU of the linear head 23.8 %, untrained encoder 19.6, pixels 13.2, seed 0;
       the decoder: not yet run; README.md beside this.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.412, 0.424, 0.432), std=(0.299, 0.303, 0.299))


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(16, 32, 64, 128))
    config.method = dict(
        name="simclr", temperature=0.2, hidden_dim=128, output_dim=64, head_layers=2
    )
    config.views = dict(name="two_crops", size=48, min_scale=0.2, **MOMENTS)
    config.optimizer = dict(
        name="adamw",
        weight_decay=1e-4,
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_steps=50),
    )
    config.data = dict(
        name="npz", path="camvid.npz", split="train", fields=dict(mask="mask")
    )
    config.feed = dict(batch_size=64, resident=True)
    heads = dict(steps=200, warmup_steps=20, batch_size=8, crop=(96, 128))
    config.evals = dict(
        view=dict(name="segmentation_whole", **MOMENTS),
        test=dict(split="test"),
        linear_segmentation=dict(learning_rates=(3e-3, 1e-2, 3e-2), **heads),
        unet_segmentation=dict(
            widths=(16, 32, 64), learning_rates=(3e-3, 1e-2), **heads
        ),
        knn=None,
        linear=None,
        few_label=None,
        batch_size=32,
    )
    config.run = dict(num_steps=500, seed=0, log_every_steps=50)
    return config
