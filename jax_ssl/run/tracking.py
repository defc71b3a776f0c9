"""The trackers that a run's settings name."""

from jax_ssl.config.elsewhere import elsewhere, is_elsewhere
from jax_ssl.run.run import Run
from jax_ssl.train.trackers import TRACKERS, Tracker


def trackers_of(run: Run) -> list[Tracker]:
    """The trackers that `run.trackers` and `run.tensorboard` name."""
    settings = run.experiment.run
    names = ["tensorboard"] * settings.tensorboard + [*settings.trackers]
    return [
        elsewhere(name, "config.run.trackers") if is_elsewhere(name) else TRACKERS[name]
        for name in dict.fromkeys(names)
    ]
