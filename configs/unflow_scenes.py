"""UnFlow, rendered films of 64 x 96 pixels, small enough for a CPU core.

Paper: arXiv:1711.07837; rendered rooms are not in it. Its losses, with a FlowNetC of
       few channels that compares features of a quarter of the sides, since things move
       by a few pixels only. For the same reason the smoothness weighs a thirtieth: with
       the paper's 3.0 the flow bends nowhere and stays near zero. Learning rate and
       length are this library's choice. ":begin" leaves out what the paper leaves out
       where it begins, consistency and occlusion; ":brightness" compares pixels.
Run:   jax-ssl train --config=unflow_scenes --workdir=DIR
Ours:  EPE 1.65 px, without flow 3.83: experiments/rendered_scenes.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.45,), std=(0.225,))
KINDS = {
    "whole": {},
    "begin": dict(consistency_weight=0.0, occlusion=False),
    "brightness": dict(data_term="brightness"),
}


def get_config(kind="whole"):
    if kind not in KINDS:
        raise ValueError(f"unflow_scenes:{kind}: say one of {', '.join(KINDS)}.")
    config = ConfigDict()
    config.encoder = dict(name="flownet", widths=(16, 32), kernels=(5, 3))
    config.method = dict(
        name="unflow",
        network="C",
        widths=(32, 48, 64),
        decoder_widths=(48, 32),
        max_displacement=4,
        displacement_stride=1,
        radii=(2, 1, 1),
        level_weights=(12.7, 4.35, 3.9),
        smoothness_weight=0.1,
        border=None,
        **KINDS[kind],
    )
    config.views = dict(name="film", num_frames=2, cameras="left", **MOMENTS)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_epochs=0.5),
    )
    config.data = dict(
        name="synthetic_scenes",
        num_examples=512,
        num_frames=2,
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
        optical_flow=dict(),
        knn=None,
        linear=None,
        few_label=None,
        batch_size=32,
    )
    config.run = dict(num_epochs=24, seed=0, log_every_steps=64)
    return config
