"""What a run's ViT looks at in a few images, for its report."""

import jax
import numpy as np

from jax_ssl.commands.few_images import few_images, shown
from jax_ssl.config import Experiment
from jax_ssl.core.types import Variables
from jax_ssl.data.source import Source
from jax_ssl.encoders.vit import ViT
from jax_ssl.evaluate.attention import attention_maps, keep_mass
from jax_ssl.parallel.mesh import replicated
from jax_ssl.report.inputs import Attention

MASS = 0.6


def attention(
    experiment: Experiment, variables: Variables, source: Source
) -> Attention | None:
    """Attention in a few images; None for an encoder that has no class token.

    Must be called with the run's mesh installed, by all processes.
    """
    encoder = experiment.method.encoder
    if not isinstance(encoder, ViT):
        return None
    whole = replicated(experiment.mesh)
    images = few_images(experiment, source)
    look = jax.jit(
        lambda variables, images: attention_maps(encoder, variables, images),
        out_shardings=whole,
    )
    maps = np.asarray(look(variables, images))
    return Attention(
        images=shown(experiment, images),
        maps=maps,
        kept=keep_mass(maps.mean(axis=1), MASS),
        mass=MASS,
    )
