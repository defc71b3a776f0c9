"""Images with patches hidden and filled in by a run's autoencoder, for its report."""

import functools

import jax
import numpy as np

from jax_ssl.commands.few_images import few_images, shown
from jax_ssl.config import Experiment
from jax_ssl.core.types import Params
from jax_ssl.data.source import Source
from jax_ssl.methods.mae import Autoencoder, reconstruct
from jax_ssl.ops.patches import grid_shape
from jax_ssl.parallel.mesh import replicated
from jax_ssl.report.inputs import Filled, Reconstructions

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
    images = few_images(experiment, source)
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
