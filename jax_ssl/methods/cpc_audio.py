"""CPC on sound (van den Oord et al., 2018, arXiv:1807.03748).

Strided convolutions turn a wave into codes, a recurrent network sums up the past in a
context, and a linear map for each horizon k predicts from it the code k steps later,
which must be told from other codes of the batch.

Views: [B, T] float, one window of each wave.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params
from jax_ssl.encoders.wave import codes_and_contexts
from jax_ssl.losses.time_nce import (
    draw_negatives,
    nce_of_batch,
    nce_of_drawn,
    probabilities,
)
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import GridNetwork, Heads, StatsState
from jax_ssl.nn.views import wave


def cpc_audio(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    horizons: int = 12,
    objective: Literal["drawn", "batch"] = "drawn",
    num_negatives: int = 128,
) -> Method:
    """Builds CPC around `encoder`; settings as in the paper.

    Negatives come from the GLOBAL batch: on eight devices of eight windows each is told
    from all 64, where the paper and the released code have the eight of a device.

    Args:
        encoder: makes codes and contexts, such as `wave_gru`; evaluation keeps it and
            reads its contexts.
        views: one example -> one window of its wave, [T].
        heads: modules in the place of those made here, by the name of their part.
        horizons: K, steps ahead that are predicted.
        objective: "drawn" is that of facebookresearch/CPC_audio: negatives drawn
            anywhere in the batch, which all horizons share, and scores that are means
            over the D dimensions; "batch" is the paper's loss with the
            codes of the other windows at the same step, scores being inner products.
        num_negatives: N of "drawn"; "batch" has one less than windows in the batch.

    Raises:
        ValueError: if a number is out of its range, or the encoder has no codes.

    Note:
        The loss is the mean over the horizons; CPC_audio adds them, which to Adam is
        almost the same. The paper does not say which codes of a minibatch are the
        negatives; the same step of other windows is this library's choice.
    """
    checks.at_least(1, horizons=horizons, num_negatives=num_negatives)
    checks.one_of(("drawn", "batch"), objective=objective)
    width = getattr(encoder, "widths", (0,))[-1]
    head = mlp_after(
        encoder,
        (horizons * width,),
        norm="none",
        use_bias=False,
        kernel_init=TORCH_UNIFORM,
    )
    net = GridNetwork.of(encoder, heads, predictor=head)

    def predicted(
        params: Params, stats: Any, waves: Array, **settings: Any
    ) -> tuple[Array, Array, Any]:
        """Predictions [B, t - K, K, D], codes [B, t, D] and next stats."""
        out, stats = net(params, stats, waves, **settings)
        codes, contexts = codes_and_contexts(out["encoder"])
        known = contexts.shape[1] - horizons
        if known < 1:
            raise ValueError(
                f"horizons = {horizons} needs more than {horizons} steps, and windows "
                f"of {waves.shape[1]} samples have {contexts.shape[1]}; raise "
                "config.views.samples or lower config.method.horizons."
            )
        guesses = out["predictor"][:, :known]
        return guesses.reshape(*guesses.shape[:2], horizons, -1), codes, stats

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        params, stats = net.init(key, wave(views))
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        guesses, codes, stats = predicted(params, state.stats, views)
        if objective == "batch":
            checks.several_rows(len(views), "cpc_audio with objective = 'batch'")
            losses, hits = nce_of_batch(guesses, codes)
        else:
            anchors = guesses.shape[1], num_negatives
            rows, steps, _ = codes.shape
            places = draw_negatives(key, rows, steps, anchors)
            losses, hits = nce_of_drawn(guesses, codes, places)
        metrics = {"contrastive_accuracy": hits.mean()}
        metrics |= {f"horizon_accuracy_{k + 1}": hits[k] for k in range(horizons)}
        return losses.mean(), (StatsState(stats), metrics)

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        waves = examples["view"]
        guesses, codes, _ = predicted(params, state.stats, waves, train=False)
        columns = {
            "sound": ("view", waves),
            "probability of the right code": ("heat", probabilities(guesses, codes)),
        }
        caption = (
            "How surely each code is picked out of all codes of these examples, light "
            "for surely, each picture from its least to its largest value. Time runs "
            f"to the right; the top row is the next step, the last one {horizons} "
            "steps later."
        )
        return {"Predictions by horizon": Shown(columns, caption)}

    def chance(batch_size: int) -> float:
        return math.log(batch_size if objective == "batch" else 1 + num_negatives)

    kept = net.evaluated(chance=chance)
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
