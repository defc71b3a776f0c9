"""DeepCluster, AlexNet or ResNet-50, ImageNet, 200 epochs.

Paper: arXiv:1807.05520; it trains AlexNet (38.2 % top-1 with a linear probe
       on its third layer, 39.8 on its fourth) and VGG-16. All is that of the released
       code (facebookresearch/deepcluster); of ResNet-50, which the paper has not, the
       pooled features are clustered, and no dropout is left.
Run:   jax-ssl train --config=deepcluster_imagenet:alexnet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets; without
           ":alexnet", ResNet-50
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config(network="resnet50"):
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    hidden_dims = ()
    if network == "alexnet":
        config.encoder = dict(name="alexnet", pool="flat", dtype="bfloat16")
        hidden_dims = (4096, 4096)
    elif network != "resnet50":
        raise ValueError(f"no network {network!r}; choose alexnet or resnet50.")
    config.method = dict(
        name="deepcluster",
        num_clusters=10_000,
        hidden_dims=hidden_dims,
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
    if network == "alexnet":
        config.evals.layers = dict()  # conv1 to conv5.
    config.run = dict(num_epochs=200, seed=0, checkpoint_every_epochs=1)
    return config
