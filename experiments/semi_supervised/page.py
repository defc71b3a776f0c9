"""CIFAR-10 with 1 % and 10 % of its labels, small enough for a core.

Run:   run.py beside this page; or
       jax-ssl train --config=experiments/semi_supervised/page.py:PART --workdir=DIR \
           --config.data.data_dir=DIR, PART being "pretext", "labels-1" or "labels-10",
           the latter two with --config.run.init_from=FILE or from scratch
Ours:  README.md beside this page.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
# Rates are chosen on images that no run learns from, and that are not the test part.
TRAIN, VALIDATION = "train[:20000]", "train[45000:]"
ENCODER = dict(name="convnet", widths=(8, 16, 64, 256))
LABELS = {"1": 20, "10": 200}  # Of each class.
PARTS = ("pretext", *(f"labels-{percent}" for percent in LABELS))


def get_config(part):
    if part not in PARTS:
        raise ValueError(f"page.py:{part}: say one of {', '.join(PARTS)}.")
    config = ConfigDict(load_page(str(CONFIGS / "simclr_cifar10.py")).to_dict())
    config.encoder = ENCODER
    config.data.split = TRAIN
    config.doctor = None
    config.evals = dict(
        view=dict(name="identity"),
        test=dict(split="test"),
        online=None,
        knn=None,
        linear=None,
        few_label=None,
    )
    config.run = dict(seed=0, log_every_steps=50, checkpoint_every_steps=100)
    if part == "pretext":
        config.method.update(hidden_dim=256, output_dim=64, head_layers=2, scale=1.0)
        config.feed.batch_size = 128
        config.optimizer = dict(
            name="adam",
            learning_rate=dict(name="warmup_cosine", peak_value=0.003, warmup_steps=50),
        )
        config.evals.few_label = dict(
            labels_per_class=tuple(LABELS.values()), draws=3, classifier="logistic"
        )
        config.run.num_steps = 800
        return config
    config.method = dict(
        name="classifier",
        num_classes=10,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        first_std=0.0,
    )
    # No standardization, as the encoder has learned from; crops as in the page
    # few_label_cifar10.
    config.views = dict(name="supervised", size=32, min_scale=0.6, mean=None, std=None)
    # As in SimCLR's appendix B.5, but for the rate, which run.py chooses.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        nesterov=True,
        weight_decay=0.0,
        learning_rate=dict(name="cosine", init_value=0.1),
    )
    config.feed.update(batch_size=100, labels_per_class=LABELS[part.partition("-")[2]])
    config.evals.test.split = VALIDATION
    config.run.update(num_steps=250, report=False)
    return config
