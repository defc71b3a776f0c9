"""Four hundred labels of CIFAR-10, small enough for one core.

Run:   run.py beside this page; or
       jax-ssl train --config=experiments/few_labels/page.py:PART --workdir=DIR \
           --config.data.data_dir=DIR, PART being "labels", the labels alone,
           "mean_teacher", or with a narrower network "student", with
           --config.run.init_from="{'teacher': FILE}", and "alone"
Ours:  README.md beside this page.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

PAGE = pathlib.Path(__file__).parents[2] / "configs" / "mean_teacher_cifar10.py"
IMAGES = "train[:20000]"
WIDE = dict(name="convnet", widths=(8, 16, 32, 64))
NARROW = dict(name="convnet", widths=(4, 8, 16, 32))
LABELS = dict(num_classes=10, first_std=0.01)
PARTS = ("labels", "mean_teacher", "student", "alone")


def get_config(part):
    if part not in PARTS:
        raise ValueError(f"page.py:{part}: say one of {', '.join(PARTS)}.")
    config = ConfigDict(load_page(str(PAGE)).to_dict())
    config.encoder = NARROW if part in ("student", "alone") else WIDE
    config.data.split = IMAGES
    config.feed.update(batch_size=64, labelled=32)
    config.doctor = None
    num_steps = 800 if part in ("student", "alone") else 2000
    config.run = dict(num_steps=num_steps, seed=0, report=False, log_every_steps=50)
    config.optimizer.learning_rate = dict(
        name="warmup_cosine", peak_value=0.003, warmup_steps=50
    )
    if part == "mean_teacher":
        config.method.dropout = 0.0
        config.method.momentum = dict(name="constant", value=0.99)
        config.method.consistency_weight.epochs = None
        return config
    config.views.num_views = None
    if part == "student":
        config.method = dict(
            name="distillation", teacher=WIDE, temperature=4.0, hard_weight=0.1
        )
    else:
        config.method = dict(
            name="classifier", label_smoothing=0.0, mixup=0.0, cutmix=0.0
        )
        config.feed.update(batch_size=32, labelled=None)
    config.method.update(LABELS)
    return config
