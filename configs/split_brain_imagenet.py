"""Split-brain autoencoder, two halves of AlexNet with batch norm, ImageNet.

Paper: arXiv:1611.09842; linear probes on conv1 to conv5 have 17.7, 29.3, 35.4, 35.2 and
       32.8 % top-1 on ImageNet; VOC 2007 classification, all layers fine-tuned, 67.1 %
       mean average precision. Its training code is not published: optimizer, batch,
       steps and crops are those of colorization_imagenet, and so is that the
       predictions are made from conv5, without fully connected layers before them.
Run:   jax-ssl train --config=split_brain_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals, plain_crops
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    # Half of AlexNet's channels; both halves have 96, 256, 384, 384 and 256.
    config.encoder = dict(
        name="alexnet", widths=(48, 128, 192, 192, 128), dtype="bfloat16"
    )
    config.method = dict(
        name="split_brain", objective="classification", lightness_bins=100
    )
    # Colours are the target: nothing jitters them, and nothing standardizes them.
    config.views = plain_crops(
        size=180, min_scale=0.494, max_scale=0.494, min_ratio=1.0, max_ratio=1.0
    )
    config.optimizer = dict(
        name="adam",
        b1=0.9,
        b2=0.99,
        weight_decay=1e-3,
        learning_rate=dict(
            name="step_decay", value=3.16e-5, drops=(12.5, 23.4), factor=0.316
        ),
    )
    config.data, config.feed = imagenet(80)
    config.evals = imagenet_evals()
    config.run = dict(num_steps=450_000, seed=0, checkpoint_every_epochs=1)
    return config
