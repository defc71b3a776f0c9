"""Colorization, AlexNet with batch norm, ImageNet, 450,000 steps.

Paper: arXiv:1603.08511; its AlexNet that reads the lightness alone has 65.9 % mean
       average precision on VOC 2007 classification, all layers fine-tuned (61.5 with
       fc6 to fc8 alone); a linear probe on conv5 has 35.2 % top-1 on ImageNet.
       That network has dilated fully connected layers between conv5 and the
       classifier, and targets at every eighth pixel; here the classifier reads conv5,
       10 x 10 cells of 180 pixels. Crops are squares of as large a share of the
       photograph as 180 x 180 pixels are of the 256 x 256 to which the released code
       resizes it. Where the rate drops is this library's choice for its plateaus. The
       prior is counted over the training set, before the first step.
Run:   jax-ssl train --config=colorization_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals, plain_crops
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="alexnet", dtype="bfloat16")
    # Five bins are the paper's; its released code has 10.
    config.method = dict(name="colorization", neighbors=5, uniform_share=0.5)
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
