"""Training with labels: fine-tuning as in MAE (He et al., 2022, arXiv:2111.06377).

A linear layer on the encoder's pooled features, or on its class tokens, learns to name
the class, and the encoder learns with it or stays as it was (linear evaluation).
`run.init_from` starts from an encoder that a self-supervised run has exported.

Views: {"image": [B, H, W, C] float, "label": [B] int32}.
"""

import flax.linen as nn
import jax
import optax

from jax_ssl.augment.mix import apply_mix, random_mix
from jax_ssl.core import checks
from jax_ssl.core.method import Health, Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Views
from jax_ssl.encoders.class_tokens import class_tokens_of
from jax_ssl.nn.frozen import (
    ENCODER,
    FrozenState,
    all_parts,
    complete,
    encoder_of,
    frozen_apart,
)
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.views import one_and


def classifier(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    num_classes: int,
    label_smoothing: float = 0.1,
    mixup: float = 0.8,
    cutmix: float = 1.0,
    freeze_encoder: bool = False,
    batch_norm: bool = False,
    first_std: float = 2e-5,
    class_tokens: int = 0,
    mean_patch: bool = False,
) -> Method:
    """Builds training with labels; defaults are MAE's fine-tuning (table 9).

    Its linear probe (table 10) has `freeze_encoder=True, batch_norm=True,
    first_std=0.01` and no mixing and smoothing. A frozen encoder runs in evaluation
    mode and is no part of the params, so that no optimizer can move it, nor training
    its batch norm's statistics.

    Args:
        encoder: returns `Features`; the head reads `pooled`, or what `class_tokens`
            says.
        views: one example -> {"image": [H, W, C], "label": [] int32}.
        heads: modules in the place of those made here, by the name of their part.
        num_classes: K.
        label_smoothing: weight of the uniform distribution in the targets, in [0, 1).
        mixup: amount, see `augment.mix.random_mix`; 0 for none.
        cutmix: likewise.
        freeze_encoder: whether the head learns alone.
        batch_norm: whether features pass a batch norm first, in the encoder's groups.
        first_std: of the first weights of the head; 0 for zeros.
        class_tokens: the head reads the class tokens of a ViT's last so many blocks
            side by side, in the place of its pooled features; 0 does not.
        mean_patch: and the mean patch token of the last block.

    Raises:
        ValueError: if a setting is out of range, or the encoder has no such tokens.

    Note:
        The released code truncates the first weights at ±2, a hundred thousand standard
        deviations; here they are plainly normal. Where an encoder was pre-trained with
        a class token and now pools the mean, its last norm goes on from its trained
        values; there it starts afresh.
    """
    checks.at_least(2, num_classes=num_classes)
    checks.within("[0, 1)", label_smoothing=label_smoothing)
    checks.at_least(0, mixup=mixup, cutmix=cutmix, first_std=first_std)
    checks.at_least(0, class_tokens=class_tokens)
    if mean_patch and not class_tokens:
        raise ValueError(
            "mean_patch = True is read beside class tokens; set class_tokens = 1."
        )
    reading = encoder
    if class_tokens:
        reading = class_tokens_of(encoder, class_tokens, mean_patch)
    head = LinearHead(
        num_classes, first_std, batch_norm=batch_norm, groups=norm_groups(encoder)
    )
    net = Network.of(reading, heads, head=head)

    def init(key: Array, views: Views) -> tuple[Params, FrozenState]:
        images, _ = one_and("label", views, "supervised")
        params, stats = net.init(key, images)
        params, frozen = frozen_apart(params, freeze_encoder)
        return params, FrozenState(stats, frozen)

    def loss(
        params: Params,
        state: FrozenState,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[FrozenState, Metrics]]:
        del step
        mix_key, drop_key = jax.random.split(key)
        images, labels = views["image"], views["label"]
        hot = jax.nn.one_hot(labels, num_classes)
        targets = optax.smooth_labels(hot, label_smoothing)
        if mixup or cutmix:
            drawn = random_mix(mix_key, *images.shape[1:3], mixup=mixup, cutmix=cutmix)
            images, targets = apply_mix(images, targets, drawn)
        seen, stats = net(
            {"encoder": complete(params, state)["encoder"]},
            state.stats,
            images,
            train=not freeze_encoder,
            rngs=None if freeze_encoder else {"drop_path": drop_key},
        )
        pooled = seen["encoder"].pooled
        if freeze_encoder:
            pooled = jax.lax.stop_gradient(pooled)
        out, stats = net({"head": params["head"]}, stats, pooled)
        value = optax.softmax_cross_entropy(out["head"], targets).mean()
        metrics = {"train_accuracy": (out["head"].argmax(-1) == labels).mean()}
        return value, (FrozenState(stats, state.frozen), metrics)

    def scores(params: Params, state: FrozenState, x: Array) -> Array:
        out, _ = net(complete(params, state), state.stats, x, train=False)
        return out["head"]

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        exports={"encoder": encoder_of, "classifier": all_parts},
        loads={"encoder": ENCODER},
        health=Health(scores, classes=num_classes),
    )
