"""Linear evaluation on ImageNet as in the papers, one recipe for each.

A linear layer learns on random crops and mirror images; the encoder is that of another
run, and stays as it is. The recipe of MAE is a page of its own,
`linear_probe_mae_imagenet`; `evals.linear`, which nearly all pages have at the end, is
quicker, and learns from one crop of each image.

Paper: top-1 of ResNet-50, unless another network is named.
       moco_v1   arXiv:1911.05722, 60.6 %; moco_v2: arXiv:2003.04297, 67.5 % after 200
                 epochs, 71.1 % after 800. facebookresearch/moco, main_lincls.py.
       simclr    arXiv:2002.05709, appendix B.6: 69.3 % after 1000 epochs (table 6). The
                 head starts from zeros, as in the README of google-research/simclr,
                 which has a weight decay of 1e-6 besides; appendix B.5 has none.
       byol      arXiv:2006.07733, appendix: 74.3 % for the best of the rates 0.4, 0.3,
                 0.2, 0.1 and 0.05 on held-out images; 0.2 is the released code's.
       simsiam   arXiv:2011.10566, appendix A: 68.1 % after 100 epochs. The rate is the
                 paper's; main_lincls.py of facebookresearch/simsiam has 0.1.
       moco_v3   arXiv:2104.02057: 68.9, 72.8 and 74.6 % after 100, 300 and 1000 epochs;
                 moco_v3_vit_s 73.2 %, moco_v3_vit_b 76.7 %. CONFIG.md and
                 main_lincls.py of facebookresearch/moco-v3.
       swav      arXiv:2006.09882: 75.3 % after 800 epochs. facebookresearch/swav,
                 eval_linear.py, whose batch norm before the head is off by default.
       barlow_twins   arXiv:2103.03230: 73.2 %; facebookresearch/barlowtwins.
       vicreg    arXiv:2105.04906: 73.2 %; README of facebookresearch/vicreg.
       dino      arXiv:2104.14294: 77.0 % of ViT-S/16 after 800 epochs, on the class
                 tokens of four blocks; dino_vit_b reads one, and the mean patch. Its
                 code, facebookresearch/dino, eval_linear.py, says that the rate is to
                 be adapted to the encoder.
       dinov2    arXiv:2304.07193: 82.9 % of the ViT-L/16 of `dinov2_imagenet`, the best
                 on the validation images of 52 heads that its code trains side by side
                 (facebookresearch/dinov2, dinov2/eval/linear.py): one or four blocks
                 (dinov2, dinov2_4), with and without the mean patch, and base rates of
                 1, 2 and 5 times 1e-5, 1e-4, 1e-3 and 1e-2, and 0.1. Here each is a run
                 of its own, with config.method.mean_patch and
                 config.optimizer.learning_rate.init_value, 0.001 unless given.
       vissl     52.73 % of NPID and 64.29 % of PIRL in the model zoo of
                 facebookresearch/vissl, which does not say which of its seven heads
                 they are of: a batch norm comes before the head. There it has a scale
                 and an offset, here none. NPID's paper has 54.0 %.
       Where the released codes are PyTorch's, the rate falls once an epoch, here every
       step, but for DINOv2.
Run:   jax-ssl train --config=linear_imagenet:moco_v2 --workdir=DIR \
           --config.run.init_from=RUN/export/encoder.npz, RUN of the paper's page \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, imagenet, imagenet_evals
from ml_collections import ConfigDict


def resnet50(**settings):
    return dict(name="resnet50", stem="imagenet", dtype="bfloat16", **settings)


def vit(name, **settings):
    return dict(name=name, dtype="bfloat16", **settings)


def steps(value, drops):
    return dict(name="step_decay", value=value, drops=drops)


def cosine(value):
    """From a rate for 256 images."""
    return dict(name="cosine", init_value=value, scaling="linear")


def sgd(rate, weight_decay=0.0, nesterov=False):
    return dict(
        name="sgd",
        momentum=0.9,
        nesterov=nesterov,
        weight_decay=weight_decay,
        exclude=None,  # Where a kernel decays, its bias does too.
        learning_rate=rate,
    )


# LARC of apex, which adapts the rate of the bias as well.
LARC = dict(
    name="lars",
    rate="outside",
    trust_coefficient=0.001,
    weight_decay=0.0,
    exclude=None,
    learning_rate=cosine(0.02),
)
MOCO_V3 = dict(positions="sincos", scheme="moco_v3")
PLAIN = resnet50(zero_init_residual=False)
BICUBIC = dict(interpolation="bicubic")


def recipe(
    optimizer,
    batch_size,
    encoder=None,
    views=None,
    standard=IMAGENET,
    test="bilinear",
    method=None,
    **run,
):
    """All of a recipe; `test` is the filter that resizes the images of evaluation."""
    config = ConfigDict()
    config.encoder = encoder or resnet50()
    config.method = dict(
        name="classifier",
        num_classes=1000,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        freeze_encoder=True,
        **{"first_std": 0.01, **(method or {})},
    )
    config.views = dict(name="supervised", size=224, **standard, **(views or {}))
    config.optimizer = optimizer
    config.data, config.feed = imagenet(batch_size)
    config.evals = dict(imagenet_evals(**standard), online=None, knn=None, linear=None)
    config.evals.view.interpolation = test
    config.run = dict(seed=0, checkpoint_every_epochs=5, **run)
    return config


def dino(encoder, **method):
    return recipe(
        *(sgd(cosine(0.001)), 1024),
        num_epochs=100,
        encoder=encoder,
        method=method,
        test="bicubic",
    )


def dinov2(blocks):
    # 128 images on each of the 8 GPUs of a node, 10 epochs of 1250 steps.
    return recipe(
        *(sgd(cosine(0.001)), 1024),
        num_steps=12_500,
        encoder=vit("vit_l", mask_token=True, layer_scale=1e-5),
        method=dict(class_tokens=blocks),
        views=BICUBIC,
        test="bicubic",
    )


MOCO = recipe(sgd(steps(30.0, (60, 80))), 256, num_epochs=100, encoder=PLAIN)
RECIPES = {
    "moco_v1": MOCO,
    "moco_v2": MOCO,
    "simclr": recipe(
        *(sgd(cosine(0.1), nesterov=True), 4096),
        num_epochs=90,
        encoder=resnet50(kernel_init="lecun_fan_in"),
        method=dict(first_std=0.0),
        views=BICUBIC,
        standard=dict(mean=None, std=None),
        test="bicubic",
    ),
    "byol": recipe(
        *(sgd(cosine(0.2), nesterov=True), 1024),
        num_epochs=80,
        method=dict(first_std=2048**-0.5),  # Haiku's, by the number of features.
        views=dict(sampling="clipped", **BICUBIC),
        test="bicubic",
    ),
    "simsiam": recipe(LARC, 4096, num_epochs=90),
    "moco_v3": recipe(sgd(cosine(0.1)), 1024, num_epochs=90),
    "moco_v3_vit_s": recipe(
        *(sgd(cosine(3.0)), 1024),
        num_epochs=90,
        encoder=vit("vit_s", num_heads=12, **MOCO_V3),
    ),
    "moco_v3_vit_b": recipe(
        *(sgd(cosine(3.0)), 1024), num_epochs=90, encoder=vit("vit_b", **MOCO_V3)
    ),
    "swav": recipe(
        *(sgd(cosine(0.3), 1e-6), 256),
        num_epochs=100,
        encoder=PLAIN,
        standard={**IMAGENET, "std": (0.228, 0.224, 0.225)},
    ),
    "barlow_twins": recipe(sgd(cosine(0.3), 1e-6), 256, num_epochs=100),
    "vicreg": recipe(sgd(cosine(0.02), 1e-6), 256, num_epochs=100),
    "dino": dino(vit("vit_s"), class_tokens=4),
    "dino_vit_b": dino(vit("vit_b"), class_tokens=1, mean_patch=True),
    "dinov2": dinov2(1),
    "dinov2_4": dinov2(4),
    "vissl": recipe(
        *(sgd(steps(0.01, (8, 16, 24)), 5e-4, nesterov=True), 256),
        num_epochs=28,
        encoder=PLAIN,
        method=dict(batch_norm=True),
    ),
}


def get_config(name="moco_v2"):
    if name not in RECIPES:
        raise ValueError(f"linear_imagenet:{name}: say one of {', '.join(RECIPES)}.")
    return RECIPES[name].copy_and_resolve_references()
