"""W-MSE, ResNet-50, ImageNet, four views, 100 epochs at batch 1024.

Paper: arXiv:2007.06346; 69.4 % top-1 with a linear probe after 100 epochs with four
       views. Views, head, sub-batches and partitions are those of ImageNet-100
       in the released code (htdt/self-supervised); batch and optimizer are this
       library's choice.
Run:   jax-ssl train --config=w_mse_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="resnet50", stem="imagenet", zero_init_residual=False, dtype="bfloat16"
    )
    config.method = dict(
        name="w_mse", sub_batch_size=256, hidden_dim=1024, output_dim=128
    )
    config.views = dict(
        name="w_mse", size=224, num_views=4, blur_probability=0.5, **IMAGENET
    )
    config.optimizer = dict(
        name="lars",
        rate="outside",
        weight_decay=1e-6,
        learning_rate=dict(
            name="warmup_cosine", peak_value=0.3, scaling="linear", warmup_epochs=10
        ),
    )
    config.data, config.feed = imagenet(1024)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=1)
    return config
