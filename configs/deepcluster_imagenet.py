"""DeepCluster, ResNet-50, ImageNet, 200 epochs.

Paper: arXiv:1807.05520, section 4; it trains AlexNet (38.2 % top-1 with a linear probe
       on its third layer, 39.8 on its fourth) and VGG-16, which this library has not.
       ResNet-50 is the nearest, its pooled features are clustered, and no dropout is
       left. All else is that of the released code (facebookresearch/deepcluster).
Run:   jax-ssl train --config=configs/deepcluster_imagenet.py --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    config.method = dict(
        name="deepcluster",
        num_clusters=10_000,
        hidden_dims=(),
        sobel=True,
        components=256,
        iterations=20,
    )
    config.views = dict(name="deepcluster", size=224, **IMAGENET)
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-5,
        exclude=None,
        learning_rate=0.05,
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=1)
    return config
