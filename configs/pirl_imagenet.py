"""PIRL with jigsaw puzzles, ResNet-50, ImageNet, 800 epochs.

Paper: arXiv:1912.01991: 63.6 % top-1 with a linear probe; 64.29 % is that of the
       released code's run (facebookresearch/vissl), whose settings these are.
       :rotation turns the second crop instead, this library's choice of a view, and
       :none is NPID++ (59.0 %).
Run:   jax-ssl train --config=pirl_imagenet:jigsaw --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config(pretext="jigsaw"):
    config = ConfigDict()
    config.encoder = dict(
        name="resnet50", stem="imagenet", zero_init_residual=False, dtype="bfloat16"
    )
    # The bank takes 0.66 GB on every device; config.mesh.fsdp = 8 cuts it into eight.
    config.method = dict(
        name="pirl",
        pretext=pretext,
        objective="nce",
        transformed_weight=0.5,
        temperature=0.07,
        num_negatives=32000,
        momentum=0.5,
    )
    config.views = dict(name="pirl", pretext=pretext, size=224, **IMAGENET)
    # Everything decays but batch norm, as in the released code.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        learning_rate=dict(
            name="cosine", init_value=0.03, end_value=1.2e-4, scaling="linear"
        ),
    )
    config.data, config.feed = imagenet(1024)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=800, seed=0, checkpoint_every_epochs=5)
    return config
