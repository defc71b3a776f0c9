"""Any joint-embedding method on CIFAR-10, small enough for two CPU cores.

The method's own CIFAR-10 page with a ConvNet instead of its ResNet-18, narrow heads,
Adam instead of its optimizer, the first 10,000 training images and a few epochs. The
runs were made before the pages of configs/ were compared with the official code: what
that changed has its former value here (`FORMER_STD`, and what says "former").

Run:   jax-ssl train --config=experiments/joint_embedding_cifar10/page.py:METHOD \
           --workdir=DIR --config.data.data_dir=DIR --config.run.seed=SEED
Ours:  README.md beside this page.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

PAGES = pathlib.Path(__file__).parents[2] / "configs"
EPOCHS = 5
STEPS_PER_EPOCH = 78
HEAD = {"method.hidden_dim": 256, "method.output_dim": 64}
WIDE_HEAD = {"method.hidden_dim": 256, "method.output_dim": 256}
WHITENED = {
    "method.hidden_dim": 256,
    "method.output_dim": 32,
    "method.sub_batch_size": 64,
}
# Without negatives a few hundred steps are few: more of them, and weaker views.
PATIENT = {"views.strength": 0.5, "views.min_scale": 0.2, "run.num_epochs": 10}
BYOL = {
    **HEAD,
    **PATIENT,
    "views.name": "byol",  # Former, and the next.
    "views.brightness": "multiplicative",
    "method.momentum.init_value": 0.9,
    "optimizer.learning_rate.peak_value": 0.006,
}
QUEUE = {"method.queue_size": 4096}
FORMER_STD = {
    "views.std": (0.2470, 0.2435, 0.2616),
    "evals.view.std": (0.2470, 0.2435, 0.2616),
}

# Name -> (page, what else is different).
METHODS = {
    "simclr": (
        "simclr_cifar10.py",
        {**HEAD, "method.head_layers": 2, "method.scale": 1.0},  # Former.
    ),
    "moco_v1": (
        "moco_cifar10.py",
        {
            **QUEUE,
            "method.output_dim": 64,
            "views.name": "moco_v1",
            "views.min_scale": 0.2,
            "views.blur_probability": None,
            "evals.knn.reads": "pooled",  # Former.
            **FORMER_STD,
        },
    ),
    "moco_v2": (
        "moco_cifar10.py",
        {
            **QUEUE,
            **HEAD,
            "method.head_layers": 2,
            "method.temperature": 0.2,
            "evals.knn.reads": "pooled",  # Former.
            **FORMER_STD,
        },
    ),
    "moco_v3": (
        "moco_v3_cifar10.py",
        {
            **HEAD,
            "views.min_scale": 0.08,  # Former, and the next.
            "views.interpolation": "bilinear",
            "views.jitter": (0.4, 0.4, 0.2, 0.1),
            "views.blur_probability": (0.0, 0.0),
        },
    ),
    "byol": ("byol_cifar10.py", BYOL),
    # Groups of 16 channels.
    "byol_group_norm": (
        "byol_cifar10.py",
        {**BYOL, "encoder.norm": "group_ws", "encoder.widths": (16, 16, 64, 256)},
    ),
    "simsiam": (
        "simsiam_cifar10.py",
        {**WIDE_HEAD, **PATIENT, "method.predictor_dim": 64},
    ),
    "barlow_twins": (
        "barlow_twins_cifar10.py",
        {**WIDE_HEAD, "method.redundancy_weight": 0.0051},  # Former.
    ),
    "vicreg": (
        "vicreg_cifar10.py",
        {
            **WIDE_HEAD,
            "method.variance_weight": 25.0,  # Former, and the next.
            "views.blur_probability": (0.0, 0.0),
        },
    ),
    "w_mse": ("w_mse_cifar10.py", {**WHITENED, **FORMER_STD}),
    "w_mse_4": ("w_mse_cifar10.py:4", {**WHITENED, **FORMER_STD}),
    # An image and its memory meet once an epoch: fewer images, more often.
    "npid": (
        "npid_cifar10.py",
        {
            "method.output_dim": 64,
            "views.strength": 0.5,
            "data.split": "train[:2500]",
            "run.num_epochs": 40,
            "views.gray_first": True,  # Former, and the next.
            "evals.knn.reads": "pooled",
            **FORMER_STD,
        },
    ),
    "triplet": ("triplet_cifar10.py", HEAD),
    # Embeddings that are still much alike need a smaller ε than 0.05, or all codes are
    # uniform and the loss stays at ln K.
    "swav": (
        "swav_cifar10.py",
        {
            **HEAD,
            "method.num_prototypes": 256,
            "method.epsilon": 0.02,
            "method.freeze_prototypes_steps": STEPS_PER_EPOCH,
            "method.queue_size": 0,
            "views.interpolation": "bilinear",  # Former.
        },
    ),
    "deepcluster": (
        "deepcluster_cifar10.py",
        {"method.components": 64, "run.num_epochs": 10},
    ),
    "deepcluster_v2": (
        "deepcluster_v2_cifar10.py",
        {
            **HEAD,
            "method.num_prototypes": 256,
            "run.num_epochs": 10,
            "views.interpolation": "bilinear",  # Former, and the next.
            "views.blur_probability": 0.5,
        },
    ),
}


def get_config(method):
    if method not in METHODS:
        raise ValueError(f"page.py:{method}: say one of {', '.join(METHODS)}.")
    page, changes = METHODS[method]
    config = ConfigDict(load_page(str(PAGES / page)).to_dict())
    grouped = "groups" in config.encoder
    config.encoder = dict(name="convnet", widths=(8, 16, 64, 256))
    if grouped:
        config.encoder.groups = 4
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=0.003, warmup_epochs=1),
    )
    config.data.split = "train[:10000]"
    config.feed.batch_size = 128
    config.evals.train = dict(split="train[:10000]")
    config.evals.online = dict(every_epochs=EPOCHS, k=200, temperature=0.1)
    config.evals.linear = None
    config.evals.few_label = dict(labels_per_class=10)
    config.run.num_epochs = EPOCHS
    config.run.log_every_steps = 26
    config.run.report = False
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        place = config
        for part in section.split("."):
            place = place[part]
        if value is None:  # A setting that the page has and this one does not.
            del place[key]
        else:
            place[key] = value
    return config
