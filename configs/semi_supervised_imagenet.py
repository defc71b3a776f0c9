"""Fine-tuning on 1 % or 10 % of ImageNet's labels as in the papers, a recipe for each.

The whole network learns, batch norm included, and a new linear layer on its pooled
features. The labelled images are those of the published lists, 12,811 and 128,116,
which TFDS has as imagenet2012_subset/1pct and /10pct.

Paper: top-1 of ResNet-50 (and top-5) with 1 % and 10 %.
       simclr        arXiv:2002.05709, appendix B.5 and table 7: 48.3 and 65.6 % (75.5
                     and 87.8 %).
       swav          arXiv:2006.09882: 53.9 and 70.2 % (78.5 and 89.9 %). README of
                     facebookresearch/swav and its eval_semisup.py.
       barlow_twins  arXiv:2103.03230: 55.0 and 69.7 % (79.2 and 89.3 %). README of
                     facebookresearch/barlowtwins, which gives the rates of 1 % alone;
                     those of 10 % are chosen here to be the same.
       vicreg        arXiv:2105.04906: 54.8 and 69.5 % (79.4 and 89.5 %). README of
                     facebookresearch/vicreg.
       Where the released codes are PyTorch's, cosines fall once an epoch, here every
       step.
Run:   jax-ssl train --config=semi_supervised_imagenet:simclr-1 \
           --workdir=DIR --config.run.init_from=RUN/export/encoder.npz, RUN of the
           paper's page, --config.data.data_dir=DIR, a folder of prepared TFDS data sets
       Without run.init_from: the same labels from scratch, its control. Other lists:
       --config.data.name=folder --config.data.path=ILSVRC --config.data.split=train \
           --config.data.labels=folders --config.data.only=1percent.txt \
           --config.evals.test="{'split': 'val', 'only': ''}"
       Balanced draws, which are another protocol:
       --config.data.dataset=imagenet2012 --config.feed.labels_per_class=13
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict

HEAD = "^head/"


def cosine(value, scaling="none"):
    return dict(name="cosine", init_value=value, scaling=scaling)


def fifths(value):
    return dict(name="step_decay", value=value, drops=(12, 16), factor=0.2)


def sgd(rate, head=None, nesterov=False):
    """No weight decay; the head may have a rate of its own."""
    return dict(
        name="sgd",
        momentum=0.9,
        nesterov=nesterov,
        weight_decay=0.0,
        learning_rate=rate,
        rates=() if head is None else ((HEAD, head),),
    )


# Name and share -> optimizer, batch, epochs.
RECIPES = {
    ("simclr", "1"): (sgd(cosine(0.05, "linear"), nesterov=True), 4096, 60),
    ("simclr", "10"): (sgd(cosine(0.05, "linear"), nesterov=True), 4096, 30),
    ("swav", "1"): (sgd(fifths(0.02), fifths(5.0)), 256, 20),
    ("swav", "10"): (sgd(fifths(0.01), fifths(0.2)), 256, 20),
    ("barlow_twins", "1"): (sgd(cosine(0.005), cosine(0.5)), 256, 20),
    ("barlow_twins", "10"): (sgd(cosine(0.005), cosine(0.5)), 256, 20),
    ("vicreg", "1"): (sgd(cosine(0.03), cosine(0.08)), 256, 20),
    ("vicreg", "10"): (sgd(cosine(0.01), cosine(0.1)), 256, 20),
}
# What else differs: encoder, standardization, filter of crops, first weights.
OWN = {
    "simclr": (
        dict(kernel_init="lecun_fan_in"),
        dict(mean=None, std=None),
        "bicubic",
        0.0,
    ),
    "swav": (
        dict(zero_init_residual=False),
        {**IMAGENET, "std": (0.228, 0.224, 0.225)},
        "bilinear",
        (3 * 2048) ** -0.5,  # PyTorch's, by the number of features.
    ),
    "barlow_twins": ({}, IMAGENET, "bilinear", 0.01),
    "vicreg": ({}, IMAGENET, "bilinear", 0.01),
}


def get_config(recipe="simclr-1"):
    name, _, share = recipe.partition("-")
    if (name, share) not in RECIPES:
        known = ", ".join("-".join(each) for each in RECIPES)
        raise ValueError(f"semi_supervised_imagenet:{recipe}: say one of {known}.")
    optimizer, batch_size, epochs = RECIPES[name, share]
    encoder, standard, interpolation, first_std = OWN[name]
    config = ConfigDict()
    config.encoder = dict(name="resnet50", stem="imagenet", dtype="bfloat16", **encoder)
    config.method = dict(
        name="classifier",
        num_classes=1000,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        first_std=first_std,
    )
    config.views = dict(
        name="supervised", size=224, interpolation=interpolation, **standard
    )
    config.optimizer = optimizer
    config.data, config.feed = imagenet(batch_size)
    config.data.dataset = f"imagenet2012_subset/{share}pct"
    config.evals = dict(imagenet_evals(**standard), online=None, knn=None, linear=None)
    config.evals.view.interpolation = interpolation
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=5)
    return config
