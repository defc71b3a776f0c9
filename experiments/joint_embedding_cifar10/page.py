"""Any joint-embedding method on CIFAR-10, small enough for two CPU cores.

The method's own CIFAR-10 page with a ConvNet instead of its ResNet-18, narrow heads,
Adam instead of its optimizer, and the first 10,000 training images.

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
HEAD = dict(hidden_dim=256, output_dim=64)

# Name -> (page, changes of the method's settings, changes of the views').
METHODS = {
    "simclr": ("simclr_cifar10.py", HEAD, {}),
    "moco_v1": (
        "moco_cifar10.py",
        dict(queue_size=4096, output_dim=64),
        dict(name="moco_v1", min_scale=0.2, blur_probability=None),
    ),
    "moco_v2": (
        "moco_cifar10.py",
        dict(queue_size=4096, head_layers=2, temperature=0.2, **HEAD),
        {},
    ),
    "moco_v3": ("moco_v3_cifar10.py", HEAD, {}),
    "byol": ("byol_cifar10.py", HEAD, {}),
    "byol_group_norm": ("byol_cifar10.py", HEAD, {}),
    "simsiam": (
        "simsiam_cifar10.py",
        dict(hidden_dim=256, output_dim=256, predictor_dim=64),
        {},
    ),
    "barlow_twins": (
        "barlow_twins_cifar10.py",
        dict(hidden_dim=256, output_dim=256),
        {},
    ),
    "vicreg": ("vicreg_cifar10.py", dict(hidden_dim=256, output_dim=256), {}),
    "w_mse": (
        "w_mse_cifar10.py",
        dict(hidden_dim=256, output_dim=32, sub_batch_size=64),
        {},
    ),
    "w_mse_4": (
        "w_mse_cifar10.py:4",
        dict(hidden_dim=256, output_dim=32, sub_batch_size=64),
        {},
    ),
    "npid": ("npid_cifar10.py", dict(output_dim=64), {}),
    "triplet": ("triplet_cifar10.py", HEAD, {}),
    "swav": (
        "swav_cifar10.py",
        dict(
            num_prototypes=256,
            freeze_prototypes_steps=STEPS_PER_EPOCH,
            queue_size=1024,
            queue_start_epoch=2.0,
            **HEAD,
        ),
        {},
    ),
    "deepcluster": ("deepcluster_cifar10.py", {}, {}),
    "deepcluster_v2": ("deepcluster_v2_cifar10.py", HEAD, {}),
    "dino": ("dino_cifar10.py", {}, {}),
}


def get_config(method):
    if method not in METHODS:
        raise ValueError(f"page.py:{method}: say one of {', '.join(METHODS)}.")
    page, settings, views = METHODS[method]
    config = ConfigDict(load_page(str(PAGES / page)).to_dict())
    grouped = "groups" in config.encoder
    config.encoder = dict(name="convnet", widths=(8, 16, 64, 256))
    if method == "byol_group_norm":
        # Groups of 16 channels.
        config.encoder.update(norm="group_ws", widths=(16, 16, 64, 256))
    if grouped:
        config.encoder.groups = 4
    config.method.update(settings)
    for name, value in views.items():
        if value is None:
            del config.views[name]
        else:
            config.views[name] = value
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=0.003, warmup_epochs=1),
    )
    config.data.split = "train[:10000]"
    config.data.batch_size = 128
    config.evals.online = dict(every_epochs=EPOCHS, k=200, temperature=0.1)
    config.evals.linear = None
    config.evals.few_label = dict(labels_per_class=10)
    config.run.num_epochs = EPOCHS
    config.run.log_every_steps = 26
    config.run.report = False
    return config
