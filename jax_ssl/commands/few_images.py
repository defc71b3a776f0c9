"""A few images of a data set as a run's encoder is shown them, for its pictures."""

import jax
import numpy as np

from jax_ssl.commands.evaluator import sample
from jax_ssl.config import Experiment
from jax_ssl.data.source import Source
from jax_ssl.parallel.mesh import replicated

COUNT = 6


def few_images(experiment: Experiment, source: Source) -> jax.Array:
    """The evaluation's views of the same few examples every time, [n, H, W, C].

    Must be called with the run's mesh installed, by all processes.
    """
    key = jax.random.key(experiment.run.seed)
    view = jax.jit(
        lambda batch: jax.vmap(lambda row: experiment.view(key, row))(batch),
        out_shardings=replicated(experiment.mesh),
    )
    images: jax.Array = view(sample(source, COUNT))
    return images


def shown(experiment: Experiment, images: jax.Array) -> np.ndarray:
    """Images [n, H, W, C] as the view standardized them, back in [0, 1]."""
    view, values = experiment.evals.view, np.asarray(images, np.float32)
    if view.get("std") is not None:
        values = values * np.asarray(view["std"]) + np.asarray(view["mean"])
    return np.clip(values, 0, 1).astype(np.float32)
