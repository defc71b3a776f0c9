"""Monodepth2, rendered films of 32 x 48 pixels, small enough for a CPU core.

Paper: arXiv:1806.01260; rendered rooms are not in it. Its losses and augmentation, with
       networks of few channels, a higher learning rate and fewer epochs, our choice.
       ":mono", which is meant where nothing is said, ":stereo" or ":both".
Run:   jax-ssl train --config=monodepth2_scenes --workdir=DIR
Ours:  abs rel 0.235 and 0.230, constant 0.531; ":stereo" 0.190, ":both" 0.221:
       experiments/rendered_scenes.
"""

from common import scenes, scenes_evals
from ml_collections import ConfigDict


def get_config(sources="mono"):
    if sources not in ("mono", "stereo", "both"):
        raise ValueError(f"monodepth2_scenes:{sources}: say mono, stereo or both.")
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(16, 32, 48, 64))
    config.method = dict(
        name="monodepth2",
        sources=sources,
        decoder_widths=(48, 32, 16),
        num_scales=2,
        pose_width=48,
    )
    moments = dict(mean=(0.45,), std=(0.225,))
    config.views = dict(name="film", **moments)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="step_decay", value=1e-3, drops=(15,), factor=0.1),
    )
    paired = sources != "mono"
    config.data, config.feed = scenes(
        stereo=paired, num_frames=1 if sources == "stereo" else 3
    )
    more = dict(stereo=dict()) if paired else {}
    if sources != "stereo":
        more["ego_motion"] = dict(snippet=3)
    scaling = "none" if paired else "median"
    config.evals = scenes_evals(scaling=scaling, **more, **moments)
    config.run = dict(num_epochs=20, seed=0)
    return config
