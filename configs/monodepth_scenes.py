"""Monodepth, rendered pairs of 32 x 48 pixels, small enough for a CPU core.

Paper: arXiv:1609.03677; rendered rooms are not in it. Its losses and augmentation; the
       network has few channels and, other than the paper's, batch norm in its encoder,
       without which it had learned little after the same steps. A higher learning rate
       and fewer epochs are our choice too.
Run:   jax-ssl train --config=monodepth_scenes --workdir=DIR
Ours:  abs rel 0.195 and 0.196, plane 0.362; D1 7.4 and 7.7 %, plane 8.7 %:
       experiments/rendered_scenes.
"""

from common import scenes, scenes_evals
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(16, 32, 48, 64))
    config.method = dict(name="monodepth", decoder_widths=(48, 32, 16), num_scales=3)
    config.views = dict(
        name="film",
        num_frames=1,
        strength=0.0,
        tones_probability=0.5,
        in_losses=True,
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="step_decay", value=1e-3, drops=(12, 16), factor=0.5),
    )
    config.data, config.feed = scenes(stereo=True, num_frames=1)
    config.evals = scenes_evals(scaling="none", stereo=dict())
    config.run = dict(num_epochs=20, seed=0)
    return config
