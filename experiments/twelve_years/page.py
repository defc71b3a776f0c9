"""Any method on a part of CIFAR-10: one encoder, one number of images, one evaluation.

The method's own CIFAR-10 page with a small ConvNet as its encoder, narrow heads, Adam,
the first 5,000 training images and EPOCHS epochs of them.

Run:   jax-ssl train --config=experiments/twelve_years/page.py:METHOD --workdir=DIR \
           --config.data.data_dir=DIR --config.run.seed=SEED
Ours:  README.md beside this page.
"""

import pathlib

from ml_collections import ConfigDict

from jax_ssl.config import load_page

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
JOINT = ROOT / "experiments" / "joint_embedding_cifar10" / "page.py"
IMAGES = 5000
EPOCHS = 8
WIDTHS = (8, 16, 64, 256)

ADAM = dict(
    name="adam",
    learning_rate=dict(name="warmup_cosine", peak_value=0.003, warmup_epochs=1),
)

# The page's when these runs were made.
FORMER_STD = {
    "views.std": (0.2470, 0.2435, 0.2616),
    "evals.view.std": (0.2470, 0.2435, 0.2616),
}

# Name -> (year, its page, what else is different). The two players of a game keep the
# optimizer of their page.
OWN = {
    "autoencoder": (
        2006,
        "autoencoder_cifar10.py:plain",
        {"method.decoder_widths": (64, 32, 16)},
    ),
    "denoising": (
        2008,
        "autoencoder_cifar10.py:denoising",
        {"method.decoder_widths": (64, 32, 16)},
    ),
    "vae": (
        2013,
        "vae_cifar10.py",
        {"method.decoder_widths": (64, 32, 16), "method.beta.epochs": 2},
    ),
    # Each of the images is a class.
    "exemplar": (2014, "exemplar_cifar10.py", {}),
    "relative_patch": (
        2015,
        "relative_patch_cifar10.py",
        {"method.hidden_dims": (128,)},
    ),
    "context_encoder": (
        2016,
        "context_encoder_cifar10.py:l2",
        {"method.decoder_widths": (64, 32), "method.code_dim": 128},
    ),
    "context_encoder_joint": (
        2016,
        "context_encoder_cifar10.py:joint",
        {
            "method.decoder_widths": (64, 32),
            "method.code_dim": 128,
            "method.discriminator_widths": (32, 64),
        },
    ),
    "colorization": (2016, "colorization_cifar10.py", {}),
    "jigsaw": (2016, "jigsaw_cifar10.py", {"method.hidden_dims": (256,)}),
    "bigan": (
        2017,
        "bigan_cifar10.py",
        {
            "method.generator_widths": (64, 32, 16),
            "method.discriminator_widths": (16, 32, 64),
            "method.hidden_dim": 128,
        },
    ),
    # Two halves, whose features are laid side by side.
    "split_brain": (
        2017,
        "split_brain_cifar10.py",
        {"encoder.widths": tuple(width // 2 for width in WIDTHS)},
    ),
    # Its crops were clipped when this ran; the recipe draws them again since.
    "rotation": (2018, "rotation_cifar10.py", {"views.sampling": "clipped"}),
    # Two halves, as in "split_brain". Memories are too old where an image is seen eight
    # times: the others of the batch take their place.
    "cmc": (
        2019,
        "cmc_cifar10.py:in_batch",
        {
            "encoder.widths": tuple(width // 2 for width in WIDTHS),
            "method.output_dim": 64,
        },
    ),
    "pirl_jigsaw": (
        2019,
        "pirl_cifar10.py:jigsaw",
        {"method.output_dim": 64, "method.num_negatives": 512},
    ),
    "pirl_rotation": (
        2019,
        "pirl_cifar10.py:rotation",
        {"method.output_dim": 64, "method.num_negatives": 512},
    ),
    "looc": (
        2020,
        "looc_cifar10.py",
        {
            "encoder.groups": 4,
            "method.output_dim": 64,
            "method.hidden_dim": 256,
            "method.temperature": 0.2,
            **FORMER_STD,
            "method.queue_size": 4096,
        },
    ),
    "cpc_vision": (
        2018,
        "cpc_vision_cifar10.py",
        {"encoder.norm": "layer", "method.context_width": 64, "method.target_dim": 32},
    ),
    # Of the grids of the shared network, whose convolutions are padded.
    "amdim": (
        2019,
        "amdim_cifar10.py",
        {"method.sides": (8, 4), "method.output_dim": WIDTHS[-1]},
    ),
    # Of the encoder that the run of "rotation" has exported; run.py names its file.
    "clusterfit": (
        2020,
        "clusterfit_cifar10.py",
        {"method.num_clusters": 100, "method.iterations": 20},
    ),
    # No learner without labels: what the labels of these images are worth.
    "supervised": (2012, "rotation_cifar10.py", {}),
    # Nor is this one: what the same labels are worth to SimCLR.
    "supcon": (
        2020,
        "supcon_cifar10.py",
        {"method.hidden_dim": 256, "method.output_dim": 64, "method.scale": 1.0},
    ),
}
PLAYERS = ("context_encoder_joint", "bigan")
# Of the study of the joint-embedding family, with its smaller heads.
FAMILY = {
    "triplet": 2015,
    "npid": 2018,
    "deepcluster": 2018,
    "moco_v1": 2019,
    "simclr": 2020,
    "moco_v2": 2020,
    "byol": 2020,
    "swav": 2020,
    "deepcluster_v2": 2020,
    "simsiam": 2020,
    "w_mse": 2020,
    "moco_v3": 2021,
    "barlow_twins": 2021,
    "vicreg": 2021,
}
YEARS = FAMILY | {name: year for name, (year, _, _) in OWN.items()}
METHODS = sorted(YEARS, key=lambda name: (YEARS[name], name))


def get_config(method):
    if method not in YEARS:
        raise ValueError(f"page.py:{method}: say one of {', '.join(METHODS)}.")
    changes = {}
    if method in FAMILY:
        page = f"{JOINT}:{method}"
    else:
        _, page, changes = OWN[method]
        page = str(CONFIGS / page)
    config = ConfigDict(load_page(page).to_dict())
    encoder = dict(
        name="convnet", widths=WIDTHS, groups=config.encoder.get("groups", 1)
    )
    config.encoder = ConfigDict(encoder)
    if method == "clusterfit":
        config.method.teacher = ConfigDict(encoder)
    if method == "supervised":
        config.method = dict(name="classifier", num_classes=10)
        config.views.name = "supervised"  # The same crops, with their labels.
    if method not in PLAYERS:
        config.optimizer = ADAM
    part = f"train[:{IMAGES}]"
    config.data.split = part
    config.feed.batch_size = 128
    config.evals.train = dict(split=part)
    config.evals.online = None
    config.evals.knn = dict(k=20, temperature=0.1)
    config.evals.linear = dict()
    config.evals.layers = None
    config.evals.few_label = dict(labels_per_class=10)
    config.run.num_epochs = EPOCHS
    config.run.log_every_steps = 39
    config.run.report = False
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        place = config
        for step in section.split("."):
            place = place[step]
        place[key] = value
    return config
