"""Images with patches hidden and filled in by a run's autoencoder, for its report."""

import functools

import jax
import numpy as np

from jax_ssl.commands.evaluator import sample
from jax_ssl.config import Experiment
from jax_ssl.core.types import Params
from jax_ssl.data.source import Source
from jax_ssl.methods.mae import Autoencoder, reconstruct
from jax_ssl.ops.patches import grid_shape
from jax_ssl.parallel.mesh import replicated
from jax_ssl.report.inputs import Filled, Reconstructions

SHOWN = 6
SHARES = (0.75, 0.85, 0.95)  # He et al., 2022, figures 2 to 4, and a harder one.


def reconstructions(
    experiment: Experiment, params: Params, source: Source
) -> Reconstructions | None:
    """What the model makes of a few images; None for a method that hides no patches.

    Must be called with the run's mesh installed, by all processes.
    """
    settings = experiment.config["method"]
    if settings["name"] != "mae":
        return None
    encoder = experiment.method.encoder
    own = ("decoder_width", "decoder_depth", "decoder_heads")
    network = Autoencoder(encoder, **{name: settings[name] for name in own})
    whole = replicated(experiment.mesh)
    key = jax.random.key(experiment.run.seed)
    view = jax.jit(
        lambda batch: jax.vmap(lambda row: experiment.view(key, row))(batch),
        out_shardings=whole,
    )
    images = view(sample(source, SHOWN))
    h, w = grid_shape(images.shape[1], images.shape[2], encoder.patch)
    made = jax.jit(
        functools.partial(reconstruct, network, norm_pix=settings["norm_pix"]),
        static_argnames="mask_ratio",
        out_shardings=whole,
    )
    filled = {}
    for share in SHARES:
        if h * w * (1 - share) >= 1:
            found = made(params, images, key, mask_ratio=share)
            filled[share] = Filled(
                np.asarray(found.mask), shown(experiment, found.prediction)
            )
    return Reconstructions(
        images=shown(experiment, images),
        filled=filled,
        trained_at=settings["mask_ratio"],
        norm_pix=settings["norm_pix"],
    )


def shown(experiment: Experiment, images: jax.Array) -> np.ndarray:
    """Images [n, H, W, C] as the view standardized them, back in [0, 1]."""
    view, values = experiment.evals.view, np.asarray(images, np.float32)
    if view.get("std") is not None:
        values = values * np.asarray(view["std"]) + np.asarray(view["mean"])
    return np.clip(values, 0, 1).astype(np.float32)
