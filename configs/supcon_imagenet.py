"""SupCon, ResNet-50, ImageNet, 350 epochs at batch 6144. It learns from the labels.

Paper: arXiv:2004.11362: 78.7 % top-1 with a linear classifier on the frozen encoder,
       with AutoAugment; 67.4 % for config.method.mean="inside". Optimizer, rate and
       epochs are those of the authors' script (google-research/supcon,
       scripts/supcon_imagenet_resnet50.sh).
       The library has no AutoAugment: these views are a crop, a mirror image and
       RandAugment, which the paper tries too. That script has one linear layer on unit
       features as its projector; here it is the two layers of the paper.
Run:   jax-ssl train --config=supcon_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16")
    # As in that script the loss is the temperature times as large.
    config.method = dict(
        name="supcon",
        temperature=0.1,
        scale=0.1,
        hidden_dim=2048,
        output_dim=128,
    )
    config.views = dict(
        name="supcon",
        size=224,
        min_scale=0.08,
        strength=0.0,
        gray_probability=0.0,
        rand_augment_ops=2,
        **IMAGENET,
    )
    config.optimizer = dict(
        name="lars",
        weight_decay=1e-3,
        learning_rate=dict(
            name="warmup_cosine", peak_value=0.4, scaling="linear", warmup_epochs=12
        ),
    )
    config.data, config.feed = imagenet(6144)
    config.evals = imagenet_evals(**IMAGENET)
    config.run = dict(num_epochs=350, seed=0, checkpoint_every_epochs=1)
    return config
