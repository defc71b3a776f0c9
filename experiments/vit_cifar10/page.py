"""MAE, DINO and fine-tuning of a very small ViT on CIFAR-10, on two CPU cores.

The pages mae_cifar10.py, dino_imagenette.py and fine_tune_cifar10.py with a ViT of 3
blocks of width 128 on patches of 4 x 4 pixels (DINO: 8 x 8), and the first 10,000
training images, of which fine-tuning has the labels of the first 2,000.

Run:   jax-ssl train --config=experiments/vit_cifar10/page.py:WHAT --workdir=DIR \
           --config.data.data_dir=DIR --config.run.seed=SEED
       WHAT is mae, dino or fine_tune, the last with --config.run.init_from=FILE or,
       from scratch, without.
Ours:  README.md beside this page.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

PAGES = pathlib.Path(__file__).parents[2] / "configs"
CIFAR10 = dict(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
VIT = dict(name="vit", dim=128, depth=3, num_heads=4, patch=4, image_size=32)
DATA = dict(
    name="tfds",
    dataset="cifar10",
    data_dir="~/tensorflow_datasets",
    split="train[:10000]",
)
EVALS = dict(
    view=dict(name="identity", **CIFAR10),
    test=dict(split="test"),
    online=dict(every_epochs=5, k=200, temperature=0.1),
    knn=dict(k=200, temperature=0.1),
    linear=dict(),
    few_label=dict(labels_per_class=10),
)


def page(name):
    return ConfigDict(load_page(str(PAGES / name)).to_dict())


def rate(peak, warmup_epochs, **ends):
    return dict(
        name="warmup_cosine", peak_value=peak, warmup_epochs=warmup_epochs, **ends
    )


def mae():
    config = page("mae_cifar10.py")
    config.encoder = dict(**VIT, positions="sincos", scheme="mae")
    config.method.update(decoder_width=64, decoder_depth=1, decoder_heads=4)
    config.views.sampling = "clipped"  # The recipe's when this ran.
    config.optimizer.learning_rate = rate(1e-3, 2)
    config.evals = EVALS
    config.run.num_epochs = 16
    return config


def dino():
    config = page("dino_imagenette.py")
    # Patches of 8 x 8: every step has six crops of every image in it.
    config.encoder = dict(**{**VIT, "patch": 8})
    config.method.update(
        num_prototypes=256,
        hidden_dim=256,
        bottleneck_dim=64,
        # At 0.04 the teacher's entropy went up to nearly ln K within two epochs.
        teacher_temperature=0.02,
        momentum=dict(name="cosine", init_value=0.99, end_value=1.0),
    )
    config.views.update(global_size=32, local_size=16, num_locals=4, **CIFAR10)
    # Blur that is meant for 224 pixels leaves nothing of 32.
    config.views.update(global_blurs=(0.0, 0.0), local_blur=0.0)
    config.views.local_scale = (0.2, 0.5)
    config.optimizer.learning_rate = rate(5e-4, 2, end_value=1e-6)
    config.evals = dict(EVALS, linear=dict(EVALS["linear"], class_tokens=3))
    config.run.num_epochs = 18
    return config


def fine_tune():
    config = page("fine_tune_cifar10.py")
    config.encoder = dict(**VIT, positions="sincos", scheme="mae", pool="mean")
    # Fifteen epochs are too few for strong regularization. One rate for all layers, so
    # that training from scratch is not held back by the recipe.
    config.method.update(mixup=0.0, cutmix=0.0)
    config.views.update(rand_augment_ops=0, erase_probability=0.0)
    config.optimizer.layer_decay = 1.0
    config.optimizer.exclude = ("(^|/)bias$", "(^|/)scale$")  # Tokens decayed then.
    config.optimizer.learning_rate = rate(1e-3, 2, end_value=1e-6)
    config.run.num_epochs = 15
    return config


PARTS = {"mae": mae, "dino": dino, "fine_tune": fine_tune}
BATCH_SIZES = {"mae": 128, "dino": 64, "fine_tune": 64}


def get_config(part):
    if part not in PARTS:
        raise ValueError(f"page.py:{part}: say one of {', '.join(PARTS)}.")
    config = PARTS[part]()
    config.data = dict(DATA)
    config.feed = dict(batch_size=BATCH_SIZES[part], resident=True)
    if part == "fine_tune":
        config.data.split = "train[:2000]"
    config.run.log_every_steps = 31
    config.run.checkpoint_every_epochs = 5
    return config
