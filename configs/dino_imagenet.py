"""DINO, ImageNet: ViT-S or ViT-B with patches of 16 or 8 pixels.

Paper: arXiv:2104.14294, section 3.2. The settings are the authors' "vanilla" ones (100
       epochs, batch 512), for which their README gives 69.3 % (k-NN) and 74.0 %
       (linear) with ViT-S/16; "vit_s16-300" is their longer run with learned lengths of
       the prototypes, 73.3 and 76.0 %. The paper's runs of 800 epochs (ViT-S) reach
       74.5 and 77.0 %.
Run:   jax-ssl train --config=dino_imagenet:vit_s16 --workdir=DIR \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

from common import IMAGENET, dino_adamw, imagenet, imagenet_evals
from ml_collections import ConfigDict

# Encoder, patch, epochs, batch.
RUNS = {
    "vit_s16": ("vit_s", 16, 100, 512),
    "vit_s16-300": ("vit_s", 16, 300, 1024),
    "vit_s8": ("vit_s", 8, 100, 512),
    "vit_b16": ("vit_b", 16, 100, 1024),
    "vit_b8": ("vit_b", 8, 100, 1024),
}


def get_config(run="vit_s16"):
    if run not in RUNS:
        raise ValueError(f"dino_imagenet:{run}: say one of {', '.join(RUNS)}.")
    encoder, patch, epochs, batch_size = RUNS[run]
    config = ConfigDict()
    config.encoder = dict(name=encoder, patch=patch, drop_path=0.1, dtype="bfloat16")
    temperature = 0.04
    if epochs > 100:
        temperature = dict(name="linear", init_value=0.04, end_value=0.07, epochs=30)
    config.method = dict(
        name="dino",
        num_prototypes=65536,
        student_temperature=0.1,
        teacher_temperature=temperature,
        momentum=dict(name="cosine", init_value=0.996, end_value=1.0),
        norm_last_layer=run != "vit_s16-300",
    )
    config.views = dict(
        name="dino",
        global_size=224,
        local_size=96,
        num_locals=8,
        global_scale=(0.4, 1.0),
        local_scale=(0.05, 0.4),
        **IMAGENET,
    )
    config.optimizer = dino_adamw()
    config.data, config.feed = imagenet(batch_size)
    config.evals = imagenet_evals(**IMAGENET)
    config.evals.linear = dict(class_tokens=4)
    if encoder == "vit_b":
        config.evals.linear = dict(class_tokens=1, mean_patch=True)
    config.run = dict(num_epochs=epochs, seed=0, checkpoint_every_epochs=1)
    return config
