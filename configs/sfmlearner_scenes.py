"""SfMLearner, rendered rooms of 32 x 48 pixels, small enough for a CPU core.

Paper: arXiv:1704.07813; rendered rooms are not in it. Its losses, and its batch norm
       in all layers, without which nothing was learned here; networks of few channels,
       mirror images, a weaker smoothness, learning rate and length are our choice.
       ":explain" adds the explainability masks with the paper's weight.
Run:   jax-ssl train --config=sfmlearner_scenes --workdir=DIR
Ours:  abs rel 0.309 and 0.296, constant 0.531: experiments/rendered_scenes.
"""

from common import scenes, scenes_evals
from ml_collections import ConfigDict


def get_config(masks="none"):
    if masks not in ("none", "explain"):
        raise ValueError(f"sfmlearner_scenes:{masks}: say explain, or nothing.")
    config = ConfigDict()
    config.encoder = dict(name="dispnet", widths=(16, 32, 64, 96, 128), norm="batch")
    config.method = dict(
        name="sfmlearner",
        decoder_widths=(96, 64, 48, 32, 16),
        pose_widths=(16, 32, 64, 64, 64),
        explain_widths=(32, 32, 16, 16),
        explainability_weight=0.2 if masks == "explain" else 0.0,
        smoothness_weight=0.005,
        norm="batch",
    )
    moments = dict(mean=(0.5,), std=(0.5,))
    config.views = dict(name="film", strength=0.0, **moments)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_epochs=0.5),
    )
    config.data, config.feed = scenes()
    config.evals = scenes_evals(ego_motion=dict(snippet=3), **moments)
    config.run = dict(num_epochs=20, seed=0)
    return config
