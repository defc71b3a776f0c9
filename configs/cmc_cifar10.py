"""CMC of lightness and colours, two ResNet-18, CIFAR-10.

Paper: arXiv:1906.05849; CIFAR-10 is not in it. The banks and the optimizer are those
       of cmc_imagenet; the softmax and its temperature, the crop, the network and the
       epochs are this library's choice for images of 32 pixels, on a small part of
       which the noise-contrastive form hardly learned in a few hundred steps.
Run:   jax-ssl train --config=cmc_cifar10:softmax --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets;
       :nce, or :in_batch without banks, in the place of :softmax
Ours:  not yet run.
"""

from common import cifar10, cifar10_evals
from ml_collections import ConfigDict

TEMPERATURES = dict(nce=0.07, softmax=0.1, in_batch=0.1)


def get_config(objective="softmax"):
    if objective not in TEMPERATURES:
        raise ValueError(f"cmc_cifar10:{objective}: say :{' or :'.join(TEMPERATURES)}.")
    config = ConfigDict()
    config.encoder = dict(name="resnet18", stem="small")
    config.method = dict(
        name="cmc",
        objective=objective,
        temperature=TEMPERATURES[objective],
        num_negatives=4096,
    )
    # Nothing jitters the colours, and nothing standardizes them.
    config.views = dict(name="cmc", size=32)
    # Everything decays, as in torch's SGD.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        exclude=None,
        learning_rate=dict(name="step_decay", value=0.03, drops=(120, 160, 200)),
    )
    config.data, config.feed = cifar10(128)
    config.evals = cifar10_evals()
    config.run = dict(num_epochs=240, seed=0, checkpoint_every_epochs=20)
    return config
