"""Self-Mono-SF, rendered stereo films of 64 x 96 pixels, small enough for a CPU core.

Paper: arXiv:2004.04143; rendered rooms are not in it. Its losses, with a pyramid of
       five levels and few channels. Features are standardized before they are
       compared, as in UFlow (arXiv:2006.04902): without that no motion was learned in
       so few steps. The motion's smoothness weighs 0.5 %, since bends from pixel to
       pixel are larger where 96 of them take the place of 832. Learning rate and
       length are this library's choice.
Run:   jax-ssl train --config=self_mono_sf_scenes --workdir=DIR
Ours:  EPE 1.63 px, without flow 3.83; scene flow 28.2 % outliers, at rest 60.0:
       experiments/rendered_scenes.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.45,), std=(0.225,))


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="pwcnet", widths=(12, 16, 24, 32, 48))
    config.method = dict(
        name="self_mono_sf",
        widths=(32, 24),
        context_widths=(24, 24),
        dilations=(1, 2),
        max_displacement=3,
        normalize_features=True,
        flow_smoothness=1.0,
    )
    config.views = dict(
        name="film",
        num_frames=2,
        strength=0.0,
        tones_probability=0.5,
        in_losses=True,
        **MOMENTS,
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_epochs=0.5),
    )
    config.data = dict(
        name="synthetic_scenes",
        num_examples=512,
        num_frames=2,
        stereo=True,
        moving_boxes=2,
        min_translation=(-0.25, -0.1, 0.1),
        max_translation=(0.25, 0.1, 0.5),
        max_rotation=(1.0, 2.0, 1.0),
        split="train",
    )
    config.feed = dict(batch_size=4, resident=True)
    config.evals = dict(
        view=dict(name="whole_film", **MOMENTS),
        test=dict(split="test", num_examples=128),
        scene_flow=dict(),
        stereo=dict(),
        optical_flow=dict(),
        knn=None,
        linear=None,
        few_label=None,
        batch_size=32,
    )
    config.run = dict(num_epochs=15, seed=0, log_every_steps=64)
    return config
