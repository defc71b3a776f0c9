"""InfoNCE between predictions for the cells of a grid and all cells of the batch."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.losses.contrastive import GATHER_LIMIT, Form, check_form, is_lead
from jax_ssl.parallel.ring import logsumexp_over_rows


def grid_nce(
    predictions: Array, targets: Array, cells: np.ndarray, *, form: Form = "auto"
) -> tuple[Array, Array]:
    """Which of all cells of all images does each prediction mean?

    CPC (arXiv 1807.03748): -log(exp(p·z_c) / Σ_j exp(p·z_j)), z_c the cell
    that is predicted, j over all N cells of all B images of the global batch. Scores
    are plain inner products, without temperature.

    Args:
        predictions: [B, P, T], rows of the batch sharded over the mesh.
        targets: [B, N, T], sharded likewise.
        cells: [P] whole numbers in [0, N): which cell of its image a prediction means.
        form: how cells reach all devices, none of which ever holds all scores: by one
            "gather", or around a "ring". "auto": the ring where all targets take more
            than `GATHER_LIMIT` bytes.

    Returns:
        [P] float32, the loss of each prediction, a mean over the batch; log(B N) where
        all scores agree. [P] float32, the share of images for which the cell leads all
        others by more than `contrastive.LEAD`; it has no gradient.

    Raises:
        AssertionError: if the shapes do not fit.
        ValueError: if the form is unknown.
    """
    chex.assert_rank([predictions, targets], 3)
    check_form(form)
    (B, P, T), N = predictions.shape, targets.shape[1]
    chex.assert_shape(targets, (B, None, T))
    chex.assert_shape(cells, (P,))
    predictions, targets = (x.astype(jnp.float32) for x in (predictions, targets))
    positive = jnp.sum(predictions * targets[:, cells], axis=-1)
    ring = form == "ring" or (form == "auto" and targets.nbytes > GATHER_LIMIT)
    wanted = N * jnp.arange(B)[:, None] + cells
    lse, top = logsumexp_over_rows(
        predictions.reshape(B * P, T),
        targets.reshape(B * N, T),
        positive.reshape(B * P),
        scale=1.0,
        x_ids=wanted.reshape(B * P),
        reach="ring" if ring else "gather",
    )
    losses = jax.nn.softplus(lse).reshape(B, P).mean(0)
    return losses, is_lead(top).reshape(B, P).mean(0)
