"""Exemplar-CNN, AlexNet with batch norm, 32,000 images of ImageNet as seeds.

Paper: arXiv:1406.6909: 74.2 % on STL-10 with its largest network, whose seeds are
       patches of that set; it has no run on ImageNet. 31.5 % top-1 with a linear probe
       is what CPC (arXiv:1807.03748) quotes for a ResNet on ImageNet. 32,000 is the
       paper's largest number of seeds. They are the middles of images here, where the
       paper samples patches of strong gradients, and the network, the batch, the rate
       and the epochs are this library's choice.
Run:   jax-ssl train --config=exemplar_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="alexnet", dtype="bfloat16")
    config.method = dict(name="exemplar", dropout=0.5)
    # The margin of 96 pixels is what moved patches see at their borders.
    config.views = dict(name="exemplar", size=224, resize=320, **IMAGENET)
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        learning_rate=dict(name="warmup_cosine", peak_value=0.05, warmup_epochs=10),
    )
    config.data, config.feed = imagenet(256)
    config.data.split = "train[:32000]"
    config.evals = imagenet_evals(**IMAGENET)
    config.evals.train = dict(split="train")
    config.evals.layers = dict()  # conv1 to conv5.
    config.run = dict(num_epochs=1000, seed=0, checkpoint_every_epochs=50)
    return config
