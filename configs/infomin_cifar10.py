"""InfoMin's views with MoCo, ResNet-18, CIFAR-10, 200, 400 or 800 epochs.

Paper: arXiv:2005.10243; CIFAR-10 is not in it. All but the views is the page
       moco_cifar10, so that the two pages compare views. There is no blur, which is
       meant for 224 pixels.
Run:   jax-ssl train --config=infomin_cifar10:200 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

import moco_cifar10
from common import CIFAR10_WITHIN


def get_config(epochs="200"):
    config = moco_cifar10.get_config(epochs)
    config.views = dict(name="infomin", size=32, blur_probability=0.0, **CIFAR10_WITHIN)
    return config
