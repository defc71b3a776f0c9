"""Context encoder, ImageNet: the middle 64 x 64 of 128 x 128 pixels.

Paper: arXiv:1604.07379, whose features come from another network, an AlexNet with a
       channel-wise layer and L2 alone (VOC 2007 classification 56.5 %). This page is
       the network for the centre of pathak22/context-encoder, train.lua, which gives no
       accuracy; it is trained there on 100,000 images or on Paris StreetView. Both
       players move at once, where that code moves the discriminator first. Crops have a
       tenth of the area or a little more, which is what 128 of 350 pixels are; that
       code's biases, which it sets to 0 after every step, are free here.
Run:   jax-ssl train --config=context_encoder_imagenet --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import imagenet, imagenet_evals, two_players
from ml_collections import ConfigDict

CENTERED = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="dcgan", widths=(64, 64, 128, 256, 512))
    config.method = dict(
        name="context_encoder",
        region="center",
        overlap=4,
        overlap_weight=10.0,
        # 2 (117, 104, 123) / 255 - 1, as in the code.
        fill=(-0.0824, -0.1843, -0.0353),
        code_dim=4000,
        decoder_widths=(512, 256, 128, 64),
        discriminator_widths=(64, 128, 256, 512),
        reconstruction_weight=0.999,
        adversarial_weight=0.001,
    )
    config.views = dict(
        name="random_crops",
        num_views=None,
        size=128,
        min_scale=0.1,
        max_scale=0.134,
        min_ratio=1.0,
        max_ratio=1.0,
        interpolation="bilinear",
        strength=0.0,
        gray_probability=0.0,
        blur_probability=0.0,
        **CENTERED,
    )
    config.optimizer = two_players(2e-3, 2e-4)
    config.data, config.feed = imagenet(64)
    config.evals = imagenet_evals(**CENTERED)
    # The bottleneck reads grids of one size.
    config.evals.update(view=dict(name="center_crop", size=128, resize=146, **CENTERED))
    config.run = dict(num_epochs=500, seed=0, checkpoint_every_epochs=5)
    return config
