"""Masking as in MAE and as in BERT, at any ratio, of a very small ViT on CIFAR-10.

The page mae_cifar10.py with a ViT of 2 blocks of width 64 on patches of 4 x 4 pixels,
and the first 3,000 training images.

Run:   jax-ssl train --config=experiments/mask_ratio/page.py:visible-0.75 \
           --workdir=DIR --config.data.data_dir=DIR --config.run.seed=SEED
       "visible": the encoder sees what is not hidden, and a decoder of one block fills
       the gaps. "all": the encoder sees mask tokens, and a head alone follows it.
Ours:  README.md beside this page.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

PAGES = pathlib.Path(__file__).parents[2] / "configs"
DECODER_DEPTHS = {"visible": 1, "all": 0}
IMAGES = 3000
EPOCHS = 8


def get_config(run):
    encode, _, ratio = run.partition("-")
    if encode not in DECODER_DEPTHS:
        raise ValueError(f"page.py:{run}: say visible-RATIO or all-RATIO.")
    config = ConfigDict(load_page(str(PAGES / "mae_cifar10.py")).to_dict())
    config.encoder = dict(
        name="vit",
        dim=64,
        depth=2,
        num_heads=4,
        patch=4,
        image_size=32,
        positions="sincos",
        scheme="mae",
        mask_token=encode == "all",
    )
    config.method.update(
        mask_ratio=float(ratio),
        encode=encode,
        decoder_width=64,
        decoder_depth=DECODER_DEPTHS[encode],
        decoder_heads=4,
    )
    config.views.sampling = "clipped"  # The recipe's when this ran.
    config.optimizer.learning_rate = dict(
        name="warmup_cosine", peak_value=2e-3, warmup_epochs=1
    )
    part = f"train[:{IMAGES}]"
    config.data.split = part
    config.feed.batch_size = 64
    config.evals.train = dict(split=part)
    config.evals.test = dict(split="test[:2000]")
    config.evals.online = None
    config.evals.knn = dict(k=20, temperature=0.1)
    # Fewer heads and epochs than by default: most of the time would go to raw pixels.
    config.evals.linear = dict(
        learning_rates=(0.003, 0.01, 0.03, 0.1, 0.3),
        weight_decays=(0.0, 1e-3),
        epochs=40,
    )
    config.evals.few_label = None
    config.run.num_epochs = EPOCHS
    config.run.log_every_steps = 46
    config.run.report = False
    return config
