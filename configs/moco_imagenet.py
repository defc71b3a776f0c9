"""MoCo, first and second version, ResNet-50, ImageNet, batch 256.

Paper: arXiv:1911.05722, sections 3.3 and 4 (v1: 200 epochs, 60.6 % top-1 with a linear
       probe); arXiv:2003.04297 (v2: 67.5 % after 200 epochs, 71.1 % after
       800). The rate of v2 falls every step here, in the authors' code every epoch.
Run:   jax-ssl train --config=moco_imagenet:v2 --workdir=runs/moco_imagenet \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

# Views, head and temperature, learning rate and epochs of each version.
V1 = dict(temperature=0.07, head_layers=1)
V2 = dict(temperature=0.2, head_layers=2)
STEPS = dict(name="step_decay", value=0.03, drops=(120, 160))
COSINE = dict(name="cosine", init_value=0.03)
RECIPES = {
    "v1": ("moco_v1", V1, STEPS, 200),
    "v2": ("moco_v2", V2, COSINE, 200),
    "v2-800": ("moco_v2", V2, COSINE, 800),
}


def get_config(version="v2"):
    if version not in RECIPES:
        raise ValueError(f"moco_imagenet:{version}: say :{' or :'.join(RECIPES)}.")
    views, method, rate, epochs = RECIPES[version]
    config = ConfigDict()
    # Eight groups of 32 rows stand for the eight GPUs of shuffled batch norm.
    config.encoder = dict(
        name="resnet50",
        stem="imagenet",
        groups=8,
        zero_init_residual=False,
        dtype="bfloat16",
    )
    config.method = dict(name="moco", momentum=0.999, queue_size=65536, **method)
    config.views = dict(name=views, size=224, **IMAGENET)
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=rate,
    )
    config.data, config.feed = imagenet(256)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=1)
    return config
