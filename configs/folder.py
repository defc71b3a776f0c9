"""SimCLR on a folder of your own images, with sizes for a laptop's two cores.

Paper: arXiv:2002.05709; encoder, image size and length are ours, chosen so that the run
       ends in minutes whatever the number of images. With an argument it grows:
       folder:medium wants a GPU, folder:large several.
Run:   jax-ssl train --config=folder --config.data.path=my/images \
           --workdir=runs/mine
Ours:  not yet run at any size where quality could be judged.
"""

from ml_collections import ConfigDict

SIZES = {
    "small": dict(
        encoder=dict(name="convnet", widths=(8, 16, 32, 64)),
        heads=dict(hidden_dim=128, output_dim=64),
        canvas=128,
        size=48,
        batch_size=64,
        length=dict(num_steps=400, checkpoint_every_steps=200, log_every_steps=20),
    ),
    "medium": dict(
        encoder=dict(name="resnet18"),
        heads=dict(hidden_dim=512, output_dim=128),
        canvas=256,
        size=128,
        batch_size=256,
        length=dict(num_epochs=200, checkpoint_every_epochs=10),
    ),
    "large": dict(
        encoder=dict(name="resnet50"),
        heads=dict(hidden_dim=2048, output_dim=128),
        canvas=512,
        size=224,
        batch_size=1024,
        length=dict(num_epochs=200, checkpoint_every_epochs=10),
    ),
}


def get_config(scale="small"):
    if scale not in SIZES:
        raise ValueError(f"there is no size {scale!r}; choose {', '.join(SIZES)}.")
    sizes = SIZES[scale]
    size = sizes["size"]
    config = ConfigDict()
    config.encoder = sizes["encoder"]
    config.method = dict(name="simclr", temperature=0.5, **sizes["heads"])
    config.views = dict(name="two_crops", size=size, strength=0.5, blur_probability=0.5)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_steps=20),
    )
    config.data = dict(name="folder", path="images", canvas=sizes["canvas"])
    config.feed = dict(batch_size=sizes["batch_size"])
    config.evals = dict(
        view=dict(name="center_crop", size=size, resize=round(size * 8 / 7)),
        test=None,
        online=dict(every_epochs=10, k=20, temperature=0.1),
        knn=dict(k=20, temperature=0.1),
        linear=dict(),
        few_label=dict(),
    )
    config.run = dict(seed=0, **sizes["length"])
    return config
