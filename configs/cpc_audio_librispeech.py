"""CPC on 100 hours of LibriSpeech, the paper's network and windows.

Paper: arXiv:1807.03748: codes of 512 every 10 ms, a GRU of 256, twelve
       steps ahead, windows of 20,480 samples at 16 kHz, Adam at 2e-4, 64 windows a step
       and about 300,000 steps: 97.4 % of single frames get their speaker, 64.6 % their
       phone; MFCCs 17.6 and 39.7. It draws negatives from the eight windows of a GPU;
       here they are the 63 others at the same step. Phones need labels of frames,
       which no source here has. Windows are of all speakers in turn.
       `:cpc_audio` has the settings of facebookresearch/CPC_audio as far as they apply:
       channel norm, widths of 256, 128 negatives drawn from the whole batch, scores
       that are means. Its batches are of one speaker each, its default network is an
       LSTM with transformers for predictors; neither is here.
Data:  a folder LibriSpeech/train-clean-100 of FLAC files (openslr.org/12), whose first
       folders are the speakers, and lists of the utterances for training and test, one
       name a line, such as those that the authors of the paper gave out.
Run:   jax-ssl train --config=cpc_audio_librispeech --workdir=DIR \
           --config.data.path=LibriSpeech/train-clean-100 \
           --config.data.names=train_split.txt --config.evals.test.names=test_split.txt
Ours:  not yet run.
"""

from ml_collections import ConfigDict

RECIPES = {
    "paper": (dict(norm_groups=0), dict(objective="batch")),
    "cpc_audio": (
        dict(channel_norm=True, widths=(256,) * 5),
        dict(objective="drawn", num_negatives=128),
    ),
}


def get_config(recipe="paper"):
    if recipe not in RECIPES:
        raise ValueError(f"no recipe {recipe!r}; choose one of {', '.join(RECIPES)}.")
    encoder, method = RECIPES[recipe]
    config = ConfigDict()
    config.encoder = dict(name="wave_gru", context=256, **encoder)
    config.method = dict(name="cpc_audio", horizons=12, **method)
    config.views = dict(name="random_window", samples=20_480)
    config.optimizer = dict(name="adam", learning_rate=2e-4)
    config.data = dict(
        name="sounds",
        path="LibriSpeech/train-clean-100",
        names="train_split.txt",
        labels="folders",
        rate=16_000,
        # Pieces of 5.12 s, of each of which a window is a quarter.
        samples=81_920,
        pieces="all",
    )
    config.feed = dict(batch_size=64)
    config.evals = dict(
        view=dict(name="wave_window", samples=20_480),
        test=dict(names="test_split.txt"),
        online=dict(every_epochs=10, k=20),
        knn=None,
        few_label=None,
        linear=dict(),
        frames=dict(),
    )
    config.run = dict(num_steps=300_000, seed=0, checkpoint_every_steps=5000)
    return config
