"""BiGAN, ImageNet at 64 pixels.

Paper: arXiv:1605.09782: an AlexNet-like encoder, whose convolutions have 34.8 % with a
       linear classifier on the fifth layer (as quoted by CPC, arXiv:1807.03748) and VOC
       2007 classification 58.6 % (60.1 % in the later version).
       Here the encoder is DCGAN's, as are generator and discriminator, with 4 x 4 taps
       where jeffdonahue/bigan has 5 x 5; features are the mean of its last grid. The
       rate is constant, where that code lets it fall at the end; crops have the area of
       64 x 64 pixels of an image whose shorter side is 72, and 100 epochs are recalled.
Run:   jax-ssl train --config=bigan_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import bigan_adam, imagenet, imagenet_evals
from ml_collections import ConfigDict

CENTERED = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="dcgan", widths=(64, 128, 256, 512))
    config.method = dict(
        name="bigan",
        latent_dim=200,
        prior="uniform",
        generator_widths=(512, 256, 128, 64),
        discriminator_widths=(64, 128, 256, 512),
        hidden_dim=1024,
    )
    config.views = dict(
        name="random_crops",
        num_views=None,
        size=64,
        min_scale=0.59,
        max_scale=0.79,
        min_ratio=1.0,
        max_ratio=1.0,
        strength=0.0,
        gray_probability=0.0,
        blur_probability=0.0,
        **CENTERED,
    )
    config.optimizer = bigan_adam()
    config.data, config.feed = imagenet(128)
    config.evals = imagenet_evals(**CENTERED)
    config.evals.update(view=dict(name="center_crop", size=64, resize=72, **CENTERED))
    config.run = dict(num_epochs=100, seed=0, checkpoint_every_epochs=5)
    return config
