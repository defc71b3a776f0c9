"""CPC on spoken digits, small enough for a CPU core.

Paper: arXiv:1807.03748, section 3.1, on 100 hours of read speech at 16 kHz. The digits
       are not in it: 15 minutes of single words at 8 kHz, by six speakers. So the
       network is small, its codes come every 10 ms as there, but of 80 samples, and a
       window has 0.32 s. Negatives and scores are those of facebookresearch/CPC_audio,
       channel norm too.
Data:  the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset),
       written by experiments/spoken_digits/convert.py; no recording is in two parts.
Run:   jax-ssl train --config=configs/cpc_audio_digits.py --workdir=DIR \
           --config.data.path=spoken_digits.npz
Ours:  not yet run.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(
        name="wave_gru",
        widths=(64, 64, 64, 64),
        kernels=(10, 8, 4, 4),
        strides=(5, 4, 2, 2),
        channel_norm=True,
        context=96,
    )
    config.method = dict(name="cpc_audio", num_negatives=64)
    config.views = dict(name="random_window", samples=2560)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=2e-3, warmup_epochs=1),
    )
    config.data = dict(
        name="npz",
        path="spoken_digits.npz",
        split="train",
        fields=dict(wave="wave", speaker="label"),
        rate=8000.0,
        samples=8192,
    )
    config.feed = dict(batch_size=32, resident=True)
    config.evals = dict(
        view=dict(name="wave_window", samples=4096),
        test=dict(split="test"),
        labels=("label", "speaker"),
        online=dict(every_epochs=5, k=20, label="label"),
        knn=None,
        few_label=None,
        linear=dict(),
        frames=dict(),
    )
    config.run = dict(num_epochs=8, seed=0, log_every_steps=50)
    return config
