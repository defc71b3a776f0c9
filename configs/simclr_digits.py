"""SimCLR on scikit-learn's 8x8 digits: the quickstart, minutes on a laptop's CPU.

Paper: arXiv:2002.05709; the digits are not in it. Views are random affine maps with
       noise, for crops and colours mean nothing to an 8x8 grey digit. Scale and
       shift matter most: without either, few labels gain little.
Run:   jax-ssl train --config=simclr_digits --workdir=runs/simclr_digits
Ours:  one label a class 87.6 %, pixels 64.4, untrained 55.1; experiments/simclr_digits
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="convnet", widths=(24, 48, 96))
    config.method = dict(name="simclr", temperature=0.5, hidden_dim=256, output_dim=64)
    config.views = dict(
        name="two_affine",
        degrees=15.0,
        translate=0.15,
        min_scale=0.6,
        max_scale=1.4,
        shear=15.0,
        noise=0.15,
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=3e-3, warmup_epochs=5),
    )
    config.data = dict(name="digits", split="train")
    config.feed = dict(batch_size=256, resident=True)
    config.evals = dict(
        view=dict(name="identity"),
        test=dict(split="test"),
        online=dict(every_epochs=50, k=20, temperature=0.1),
        knn=dict(k=20, temperature=0.1),
        linear=dict(),
        few_label=dict(),
    )
    config.run = dict(
        num_epochs=300, seed=0, log_every_steps=50, checkpoint_every_epochs=100
    )
    return config
