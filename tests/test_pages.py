"""Numbers of pages beside those of the official code that a page's figure is from.

Each is read in the code that is named, at its commit; none is read off our pages.
"""

import io
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jax_ssl.config import load_page, resolved
from jax_ssl.data.canvas import decode, sides_of
from jax_ssl.optim.schedules import warmup_cosine

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"


def page(name):
    return load_page(str(CONFIGS / name)).to_dict()


# Whether the last norm of a residual block starts with 0. Torchvision's networks do not
# unless told so, which facebookresearch/{simsiam, moco-v3, barlowtwins, vicreg} do, and
# neither do the own networks of facebookresearch/swav and HobbitLong's repositories.
# google-research/simclr and deepmind-research/byol do.
ZERO = {
    **dict.fromkeys(("simclr", "byol", "simsiam", "moco_v3", "barlow_twins"), True),
    **dict.fromkeys(("vicreg", "byol_group_norm"), True),
    **dict.fromkeys(("moco", "swav", "deepcluster_v2", "dino_resnet50"), False),
    **dict.fromkeys(("npid", "w_mse", "infomin", "cmc", "pirl", "clusterfit"), False),
}


@pytest.mark.parametrize("name", ZERO)
def test_residual_blocks_start_as_in_the_official_code(name):
    argument = ":resnet50" if name == "moco_v3" else ""
    encoder = page(f"{name}_imagenet.py{argument}")["encoder"]
    assert encoder.get("zero_init_residual", True) == ZERO[name]


SOLO = ("barlow_twins", "byol", "dino", "vicreg", "moco_v2_plus", "swav")
SOLO += ("deepcluster_v2", "moco_v3")


@pytest.mark.parametrize("name", SOLO)
def test_networks_of_solo_learn_pad_by_two_pixels(name):
    encoder = page(f"{name}_cifar10.py")["encoder"]
    assert encoder["stem_padding"] == 2
    assert not encoder["zero_init_residual"]


# solo-learn, bash_files/pretrain/cifar/*.sh and the defaults of its parser and classes,
# at fca55e3 but for the last two (e90d420, bbf2d7e): --lr, --weight_decay, --min_lr,
# whether biases and norms are left out, whether the rate is capped; --warmup_epochs,
# --warmup_start_lr; --gaussian_prob, --min_scale, and the jitter.
MILD, BYOLS, STRONG = (0.4, 0.4, 0.4, 0.1), (0.4, 0.4, 0.2, 0.1), (0.8, 0.8, 0.8, 0.2)
SCRIPTS = {
    "barlow_twins": (0.3, 1e-4, 0.0, True, True, 10, 0.003, (0, 0), 0.08, BYOLS),
    "byol": (1.0, 1e-5, 0.0, True, True, 10, 0.003, (0, 0), 0.08, BYOLS),
    "dino": (0.3, 1e-6, 0.0, True, True, 10, 0.003, (0, 0), 0.08, BYOLS),
    "vicreg": (0.3, 1e-4, 0.0, True, True, 10, 0.003, (0.5, 0.5), 0.2, BYOLS),
    "swav": (0.6, 1e-6, 0.0006, False, True, 10, 0.003, 0.5, 0.08, STRONG),
    "deepcluster_v2": (0.6, 1e-6, 0.0006, False, True, 11, 0.0, 0, 0.08, STRONG),
    "moco_v3": (0.3, 1e-6, 0.0, True, False, 10, 3e-5, (1.0, 0.1), 0.2, MILD),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_pages_for_cifar_are_the_scripts_of_their_numbers(name):

    config = resolved(load_page(str(CONFIGS / f"{name}_cifar10.py")))
    optimizer, views = config["optimizer"], config["views"]
    rate = optimizer["learning_rate"]
    lars = {"name": "lars", "rate": "outside", "denominator": "sum"}
    lars |= {"trust_coefficient": 0.02, "momentum": 0.9}
    assert {key: optimizer[key] for key in lars} == lars
    assert config["feed"]["batch_size"] == 256
    assert config["run"]["num_epochs"] == 1000
    multi = name in ("swav", "deepcluster_v2")
    jitter = (*(0.8 * views.get("strength", 1.0) for _ in range(3)), 0.2)
    found = (
        *(rate["peak_value"], optimizer["weight_decay"], rate["end_value"]),
        *(optimizer["exclude"] is not None, optimizer["cap"]),
        *(rate["warmup_epochs"], rate["init_value"]),
        views["blur_probability"] if multi else tuple(views["blur_probability"]),
        views["min_scales"][0] if multi else views["min_scale"],
        jitter if multi else tuple(views["jitter"]),
    )
    assert found == SCRIPTS[name]
    assert views["interpolation"] == "bicubic"
    assert views.get("sampling", "torchvision") == "torchvision"


def test_moco_v2_plus_makes_the_steps_of_its_script():
    config = page("moco_v2_plus_cifar10.py")
    rate, decay = config["optimizer"]["learning_rate"], config["optimizer"]
    # The script's loss is the mean of two directions, here their sum: a rate γ and a
    # decay λ there are γ / 2 and 2 λ here, with γ (g + λ w) in the end.
    assert 2 * rate["peak_value"] == 0.3
    assert 2 * rate["init_value"] == 0.003
    assert decay["weight_decay"] / 2 == 1e-4
    assert decay["exclude"] is None
    assert config["method"]["momentum"] == {
        **{"name": "cosine", "init_value": 0.99, "end_value": 0.999}
    }


@pytest.mark.parametrize(
    ("run", "gpus", "decay", "redundancy"),
    [("readme", 16, 1e-6, 0.0051), ("paper", 32, 1.5e-6, 5e-3)],
)
def test_barlow_twins_has_the_gradient_of_so_many_gpus(run, gpus, decay, redundancy):
    config = page(f"barlow_twins_imagenet.py:{run}")
    assert config["method"]["scale"] * gpus == 1
    assert config["method"]["redundancy_weight"] == redundancy
    assert config["optimizer"]["weight_decay"] == decay


PAGES_OF_DINO = ("dino_imagenet", "dino_imagenette", "dino_resnet50_imagenet")


@pytest.mark.parametrize("name", [*PAGES_OF_DINO, "dinov2_imagenet"])
def test_the_last_step_of_dinos_warm_up_has_the_peak(name):
    # Both codes: np.linspace(0, peak, steps of the warm-up), then the cosine.
    settings = {**page(f"{name}.py")["optimizer"]["learning_rate"], "scaling": "none"}
    assert settings.pop("name") == "warmup_cosine"
    steps = round(7 * settings["warmup_epochs"])
    rate = warmup_cosine(1000, 7, 1, **settings)
    expected = np.linspace(0, settings["peak_value"], steps)
    found = [rate(step) for step in (0, 1, steps // 2, steps - 1, steps)]
    expected = [*expected[[0, 1, steps // 2, -1]], settings["peak_value"]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_neighbours_vote_as_in_the_papers():
    shares = {"dino": (20, "pooled"), "npid": (200, "head"), "dinov2": (20, "pooled")}
    for name, (k, reads) in shares.items():
        knn = page(f"{name}_imagenet.py")["evals"]["knn"]
        assert knn == {"k": k, "temperature": 0.07, "reads": reads}
    for name in ("npid", "moco"):
        knn = page(f"{name}_cifar10.py")["evals"]["knn"]
        assert knn == {"k": 200, "temperature": 0.1, "reads": "head"}


def test_tokens_do_not_decay_in_fine_tuning():

    patterns = page("fine_tune_mae_imagenet.py")["optimizer"]["exclude"]
    names = ("class_token", "position_embed", "block0/attention/query/bias")
    for name in names:
        assert any(re.search(p, f"encoder/{name}") for p in patterns)
    assert not any(re.search(p, "encoder/patch_embed/kernel") for p in patterns)


def test_an_average_over_gpus_has_a_share_of_barlow_twins_gradient():
    # facebookresearch/barlowtwins: the sum over GPUs is taken of the correlations, in
    # place and outside of the derivative, and the average of the gradients.
    gpus = 4
    rng = np.random.default_rng(0)
    views = jnp.asarray(rng.normal(size=(gpus, 2, 6, 5)))
    weights = jnp.asarray(rng.normal(size=(5, 3)))

    def correlation(weights, views):
        a, b = views @ weights
        return a.T @ b / (gpus * 6)

    def loss(c):
        return jnp.square(c - jnp.eye(3)).sum()

    def whole(weights):
        return loss(sum(correlation(weights, own) for own in views))

    outer = jax.grad(loss)(sum(correlation(weights, own) for own in views))

    def on_one(weights, own):
        return (outer * correlation(weights, own)).sum()

    mean = sum(jax.grad(on_one)(weights, own) for own in views) / gpus
    np.testing.assert_allclose(gpus * mean, jax.grad(whole)(weights), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "full"),
    [("simclr_imagenet.py", (375, 500)), ("mae_imagenette.py", (160, 213))],
)
def test_the_usual_file_fits_its_canvas(name, full):
    sides = sides_of(page(name)["data"]["canvas"])
    pixels = np.zeros((*full, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    assert decode(file.getvalue(), canvas=sides)[0].shape == pixels.shape


# Rate for the batch, batch, epochs, weight decay, Nesterov's form, and the epochs where
# the rate drops. In moco, moco-v3 and swav: the parsers of main_lincls.py and
# eval_linear.py; simclr: the paper's appendix B.6; byol: configs/eval.py, and the
# paper's batch; simsiam: the paper's appendix A; barlowtwins and vicreg: README and
# evaluate.py; dino: eval_linear.py; vissl: eval_resnet_8gpu_transfer_in1k_linear.yaml.
LINEAR = {
    "moco_v1": (30.0, 256, 100, 0.0, False, (60, 80)),
    "moco_v2": (30.0, 256, 100, 0.0, False, (60, 80)),
    "simclr": (1.6, 4096, 90, 0.0, True, None),
    "byol": (0.8, 1024, 80, 0.0, True, None),
    "simsiam": (0.32, 4096, 90, 0.0, False, None),
    "moco_v3": (0.4, 1024, 90, 0.0, False, None),
    "moco_v3_vit_s": (12.0, 1024, 90, 0.0, False, None),
    "moco_v3_vit_b": (12.0, 1024, 90, 0.0, False, None),
    "swav": (0.3, 256, 100, 1e-6, False, None),
    "barlow_twins": (0.3, 256, 100, 1e-6, False, None),
    "vicreg": (0.02, 256, 100, 1e-6, False, None),
    "dino": (0.004, 1024, 100, 0.0, False, None),
    "dino_vit_b": (0.004, 1024, 100, 0.0, False, None),
    "vissl": (0.01, 256, 28, 5e-4, True, (8, 16, 24)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_evaluation_is_that_of_the_official_code(name):
    config = resolved(load_page(str(CONFIGS / f"linear_imagenet.py:{name}")))
    optimizer, run = config["optimizer"], config["run"]
    schedule, batch = optimizer["learning_rate"], config["feed"]["batch_size"]
    scale = {"none": 1.0, "linear": batch / 256}[schedule["scaling"]]
    first = schedule["value" if "value" in schedule else "init_value"]
    drops = schedule.get("drops")
    found = (
        *(pytest.approx(scale * first), batch, run["num_epochs"]),
        *(optimizer["weight_decay"], optimizer["nesterov"]),
        drops and tuple(drops),
    )
    assert found == LINEAR[name]
    assert schedule.get("end_value", 0.0) == 0.0
    assert schedule.get("factor", 0.1) == 0.1
    assert optimizer["momentum"] == 0.9
    assert optimizer["exclude"] is None
    assert optimizer["name"] == ("lars" if name == "simsiam" else "sgd")


def test_heads_of_linear_evaluation_read_and_start_as_in_the_official_code():
    # DINO, README: ViT-S by 4 class tokens, ViT-B by 1 and the mean patch. SimCLR's
    # --zero_init_logits_layer; Haiku's 1/sqrt(D) in BYOL's code; N(0, 0.01) elsewhere.
    reads = {"dino": (4, False), "dino_vit_b": (1, True)}
    reads |= {"dinov2": (1, False), "dinov2_4": (4, False)}
    first = {"simclr": 0.0, "byol": pytest.approx(0.0220971)}
    for name in (*LINEAR, "dinov2", "dinov2_4"):
        method = resolved(load_page(str(CONFIGS / f"linear_imagenet.py:{name}")))[
            "method"
        ]
        read = method["class_tokens"], method["mean_patch"]
        assert read == reads.get(name, (0, False))
        assert method["first_std"] == first.get(name, 0.01)
        assert method["batch_norm"] == (name == "vissl")
        assert method["freeze_encoder"]
        assert (method["label_smoothing"], method["mixup"], method["cutmix"]) == (
            0,
        ) * 3


# Rates at the page's batch, of the network and of the head, batch and epochs: SimCLR's
# appendix B.5 (one rate of 0.05 for 256 images, 0.8); the commands in the READMEs of
# facebookresearch/{swav, barlowtwins, vicreg}; SwAV's drops are eval_semisup.py's.
FEW = {
    "simclr-1": (0.8, 0.8, 4096, 60),
    "simclr-10": (0.8, 0.8, 4096, 30),
    "swav-1": (0.02, 5.0, 256, 20),
    "swav-10": (0.01, 0.2, 256, 20),
    "barlow_twins-1": (0.005, 0.5, 256, 20),
    "vicreg-1": (0.03, 0.08, 256, 20),
    "vicreg-10": (0.01, 0.1, 256, 20),
}


@pytest.mark.parametrize("name", FEW)
def test_fine_tuning_with_few_labels_is_that_of_the_official_code(name):
    config = resolved(load_page(str(CONFIGS / f"semi_supervised_imagenet.py:{name}")))
    optimizer, batch = config["optimizer"], config["feed"]["batch_size"]
    head = dict(optimizer["rates"]).get("^head/", optimizer["learning_rate"])
    found = []
    for schedule in (optimizer["learning_rate"], head):
        scale = {"none": 1.0, "linear": batch / 256}[schedule["scaling"]]
        found.append(scale * schedule.get("value", schedule.get("init_value")))
        if name.startswith("swav"):
            assert (tuple(schedule["drops"]), schedule["factor"]) == ((12, 16), 0.2)
        else:
            assert (schedule["name"], schedule["end_value"]) == ("cosine", 0.0)
    assert (*map(pytest.approx, found), batch, config["run"]["num_epochs"]) == FEW[name]
    assert optimizer["weight_decay"] == 0.0
    assert (optimizer["momentum"], optimizer["nesterov"]) == (0.9, "simclr" in name)
    assert not config["method"]["freeze_encoder"]
    share = name.rpartition("-")[2]
    assert config["data"]["dataset"] == f"imagenet2012_subset/{share}pct"
