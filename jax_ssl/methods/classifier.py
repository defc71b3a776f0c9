"""Training with labels: fine-tuning as in MAE (He et al., 2022, arXiv:2111.06377).

A linear layer on the encoder's pooled features learns to name the class, and the
encoder with it, or stays as it was (the linear probe). `run.init_from` starts from an
encoder that a self-supervised run has exported.

Views: {"image": [B, H, W, C] float, "label": [B] int32}.
"""

from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.augment.mix import mix_batch, soft_labels
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import (
    Array,
    Features,
    Metrics,
    Params,
    PyTree,
    Variables,
    Views,
)
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.norm import BatchNorm


class ClassifierState(NamedTuple):
    """State of a classifier beside its params."""

    stats: PyTree  # Statistics of the encoder.
    head_stats: PyTree  # Statistics of the norm before the head, if there is one.
    frozen: Params  # The encoder's params where they do not learn; else {}.


class Head(nn.Module):
    """A linear layer, perhaps behind a batch norm without scale and offset.

    Attributes:
        num_classes: of the output.
        batch_norm: whether features are normed first, with ε = 1e-6.
        first_std: of the first weights.
    """

    num_classes: int
    batch_norm: bool = False
    first_std: float = 2e-5

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps features [B, D] to logits [B, K], float32."""
        if self.batch_norm:
            norm = BatchNorm(epsilon=1e-6, use_scale=False, use_bias=False, name="norm")
            x = norm(x, train=train)
        init = nn.initializers.normal(self.first_std)
        return nn.Dense(self.num_classes, kernel_init=init, name="dense")(x)


class Classified(nn.Module):
    """An encoder and its head as one module, whose features are the logits."""

    encoder: nn.Module
    head: Head

    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to logits [B, K] in the place of the features."""
        features = self.encoder(x, train=train)
        return Features(self.head(features.pooled, train=train), features.grid)


def classifier(
    encoder: nn.Module,
    views: ViewFn,
    *,
    num_classes: int,
    label_smoothing: float = 0.1,
    mixup: float = 0.8,
    cutmix: float = 1.0,
    freeze_encoder: bool = False,
    batch_norm: bool = False,
    first_std: float = 2e-5,
) -> Method:
    """Builds training with labels; defaults are MAE's fine-tuning (table 9).

    The linear probe of table 10 has `freeze_encoder=True, batch_norm=True,
    first_std=0.01` and no mixing and smoothing. A frozen encoder runs in evaluation
    mode and is no part of the params, so that no optimizer can move it.

    Args:
        encoder: returns `Features`; the head reads `pooled`.
        views: one example -> {"image": [H, W, C], "label": [] int32}.
        num_classes: K.
        label_smoothing: weight of the uniform distribution in the targets, in [0, 1).
        mixup: amount, see `augment.mix.random_mix`; 0 for none.
        cutmix: likewise.
        freeze_encoder: whether the head learns alone.
        batch_norm: whether features pass a batch norm of the whole batch first.
        first_std: of the first weights of the head.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        The released code truncates the first weights at ±2, a hundred thousand standard
        deviations; here they are plainly normal. Where an encoder was pre-trained with
        a class token and now pools the mean, its last norm goes on from its trained
        values; there it starts afresh.
    """
    if num_classes < 2 or not 0 <= label_smoothing < 1 or min(mixup, cutmix) < 0:
        raise ValueError(
            f"num_classes = {num_classes}, label_smoothing = {label_smoothing}, "
            f"mixup = {mixup}, cutmix = {cutmix}: there are at least two classes, the "
            "smoothing is in [0, 1), and amounts are not negative."
        )
    head = Head(num_classes, batch_norm, first_std)

    def init(key: Array, views: Views) -> tuple[Params, ClassifierState]:
        chex.assert_rank([views["image"], views["label"]], [4, 1])
        own_key, head_key = jax.random.split(key)
        own, stats = initialize(encoder, own_key, views["image"])
        features = jax.eval_shape(
            lambda: forward(encoder, own, stats, views["image"], train=False)[0].pooled
        )
        linear, head_stats = initialize(head, head_key, jnp.zeros(features.shape))
        if freeze_encoder:
            return {"head": linear}, ClassifierState(stats, head_stats, own)
        return {"encoder": own, "head": linear}, ClassifierState(stats, head_stats, {})

    def loss(
        params: Params,
        state: ClassifierState,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[ClassifierState, Metrics]]:
        del step
        mix_key, drop_key = jax.random.split(key)
        images, labels = views["image"], views["label"]
        targets = soft_labels(labels, num_classes, smoothing=label_smoothing)
        if mixup or cutmix:
            images, targets = mix_batch(
                mix_key, images, targets, mixup=mixup, cutmix=cutmix
            )
        features, stats = forward(
            encoder,
            state.frozen if freeze_encoder else params["encoder"],
            state.stats,
            images,
            train=not freeze_encoder,
            rngs=None if freeze_encoder else {"drop_path": drop_key},
        )
        pooled = features.pooled
        if freeze_encoder:
            pooled = jax.lax.stop_gradient(pooled)
        logits, head_stats = forward(head, params["head"], state.head_stats, pooled)
        value = optax.softmax_cross_entropy(logits, targets).mean()
        metrics = {"train_accuracy": (logits.argmax(-1) == labels).mean()}
        return value, (ClassifierState(stats, head_stats, state.frozen), metrics)

    return Method(
        encoder=encoder, views=views, init=init, loss=loss, export=encoder_variables
    )


def encoder_variables(params: Params, state: ClassifierState) -> Variables:
    """Variables of the encoder, wherever its params are."""
    return {"params": params.get("encoder", state.frozen), **state.stats}


def classified_variables(params: Params, state: ClassifierState) -> Variables:
    """Variables of `Classified`."""
    own = encoder_variables(params, state)
    head = {"params": params["head"], **state.head_stats}
    return {
        collection: {
            name: variables[collection]
            for name, variables in (("encoder", own), ("head", head))
            if collection in variables
        }
        for collection in (*own, *(name for name in head if name not in own))
    }


def with_encoder(
    params: Params, state: ClassifierState, variables: Variables
) -> tuple[Params, ClassifierState]:
    """Params and state with these variables of the encoder in the place of theirs."""
    stats = dict(variables)
    own = stats.pop("params")
    if "encoder" in params:
        return {**params, "encoder": own}, state._replace(stats=stats)
    return params, state._replace(stats=stats, frozen=own)
