"""Few labels with the first layers of a rotation network, small enough for two cores.

configs/few_label_cifar10.py with a narrower ConvNet, and RotNet with the same one.

Run:   run.py beside this page; or
       jax-ssl train --config=experiments/frozen_first_layers/page.py:PART \
           --workdir=DIR --config.data.data_dir=DIR, PART being "pretext", "labels-N"
           or, with --config.run.init_from=FILE, "frozen-N"
Ours:  README.md beside this page.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

PAGE = pathlib.Path(__file__).parents[2] / "configs" / "few_label_cifar10.py"
IMAGES = "train[:10000]"
ENCODER = dict(name="convnet", widths=(8, 16, 32, 64))


def get_config(part):
    kind, _, labels = part.partition("-")
    if kind not in ("pretext", "frozen", "labels"):
        raise ValueError(f"page.py:{part}: say pretext, frozen-N or labels-N.")
    config = ConfigDict(load_page(f"{PAGE}:{labels or 20}").to_dict())
    config.encoder = ENCODER
    config.data.split = IMAGES
    config.optimizer = dict(
        name="adam",
        factors=config.optimizer.factors if kind == "frozen" else (),
        learning_rate=dict(name="warmup_cosine", peak_value=0.003, warmup_steps=30),
    )
    config.run = dict(num_steps=300, seed=0, report=False, log_every_steps=50)
    if kind == "pretext":
        moments = {name: config.views[name] for name in ("mean", "std")}
        config.method = dict(name="rotation")
        config.views = dict(
            name="mae", size=32, min_scale=0.6, sampling="clipped", **moments
        )
        config.feed = dict(batch_size=32, resident=True)
        config.evals.update(online=None, knn=dict(k=20), linear=None, few_label=None)
        config.evals.layers = dict(epochs=10, features=1000)
        config.run.num_steps = 800
    return config
