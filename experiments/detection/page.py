"""Shapes found by a small head on a small network; see README.md.

Run:   jax-ssl train --config=experiments/detection/page.py --workdir=DIR
       ":frozen" keeps the network as it is drawn, so that the head alone learns.
"""

from ml_collections import ConfigDict


def get_config(part="whole"):
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(16, 32, 64, 96))
    config.method = dict(
        name="detector",
        levels=(2, 3),
        width=64,
        depth=2,
        freeze_encoder=part == "frozen",
    )
    config.views = dict(name="detection_crops", size=64, min_scale=0.8, max_scale=1.2)
    config.optimizer = dict(
        name="adamw",
        weight_decay=1e-4,
        clip_norm=5.0,
        learning_rate=dict(name="warmup_cosine", peak_value=2e-3, warmup_steps=50),
    )
    config.data = dict(
        name="coco", path="shapes/train.json", images="shapes/train", canvas=64
    )
    config.feed = dict(batch_size=16, resident=True)
    config.evals = dict(
        view=dict(name="detection_whole", size=64),
        test=dict(path="shapes/test.json", images="shapes/test"),
        detection=dict(),
        batch_size=32,
    )
    config.doctor = None
    config.run = dict(num_steps=600, seed=0, log_every_steps=50)
    return config
