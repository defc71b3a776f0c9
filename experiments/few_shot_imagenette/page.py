"""SimCLR on Imagenette at 48 pixels, judged by few-shot episodes, for one core.

Run:   run.py beside this page; or
       jax-ssl train --config=experiments/few_shot_imagenette/page.py --workdir=DIR \
           --config.data.data_dir=DIR, a folder with imagenette224 as prepared TFDS data
Ours:  README.md beside this page.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(8, 16, 32, 64, 256))
    config.method = dict(name="simclr", temperature=0.2, hidden_dim=256, output_dim=64)
    config.views = dict(name="two_crops", size=48, strength=0.5, blur_probability=0.0)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=0.003, warmup_steps=50),
    )
    # The images have 224 pixels a side in their files.
    config.data = dict(
        name="tfds",
        dataset="imagenette224",
        data_dir="~/tensorflow_datasets",
        split="train",
        canvas=64,
    )
    config.feed = dict(batch_size=128, resident=True)
    config.doctor = None
    config.evals = dict(
        view=dict(name="center_crop", size=48, resize=54),
        test=dict(split="validation"),
        online=None,
        few_label=None,
        knn=dict(k=20),
        linear=None,
        few_shot=dict(ways=5, shots=(1, 5), episodes=600),
    )
    config.run = dict(
        num_steps=600, seed=0, log_every_steps=50, checkpoint_every_steps=100
    )
    return config
