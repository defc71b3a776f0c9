"""Contrastive predictive coding on images, ImageNet; :v1 or, unless said, :v2.

Paper: v1 arXiv:1807.03748: 48.7 % top-1 with a linear probe, ResNet-101. v2
       arXiv:1905.09272: 63.8 % with ResNet-50, 71.5 % with its ResNet-161, which is not
       here. v1 has no norm at all, which this library's ResNets cannot do without, and
       v2 layer norm; both have layer norm here, over channels and places of a patch.
       The features of a patch are those of the last stage, in the papers of the third.
       v2's AutoAugment and elastic deformations are RandAugment here. Horizons of v1
       begin where patches no longer overlap; those of v2 leave two rows out. Crops (a
       square of 0.7 to 1 of the area), batch and epochs of v1 are our choice.
Run:   jax-ssl train --config=cpc_vision_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def get_config(version="v2"):
    if version not in ("v1", "v2"):
        raise ValueError(f"cpc_vision_imagenet:{version}: say v1 or v2.")
    config = ConfigDict()
    if version == "v1":
        encoder, size, grid = "resnet101", 256, dict(patch=64, grid=7)
        more = dict(horizons=(2, 3, 4, 5))
        changes = dict(gray_probability=1.0, inner=60)
        adam, batch, epochs = dict(learning_rate=2e-4), 512, 100
    else:
        encoder, size, grid = "resnet50", 260, dict(patch=80, grid=6)
        more = dict(
            horizons=(3, 4, 5),
            directions=("down", "up", "right", "left"),
            target_dim=64,
        )
        changes = dict(
            gray_probability=0.0, inner=None, rand_augment_ops=2, drop_probability=1.0
        )
        adam, batch, epochs = dict(learning_rate=4e-4, b1=0.8), 512, 200
    config.encoder = dict(name=encoder, norm="layer", dtype="bfloat16")
    config.method = dict(name="cpc_vision", **grid, **more)
    config.views = dict(name="cpc_patches", size=size, **grid, **changes, **IMAGENET)
    config.optimizer = dict(name="adam", **adam)
    config.data, config.feed = imagenet(batch)
    config.evals = imagenet_evals(**IMAGENET)
    config.evals["view"] = dict(
        name="center_crop", size=size, resize=size + 36, **IMAGENET
    )
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=1)
    return config
