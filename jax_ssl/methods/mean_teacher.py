"""Mean teachers (Tarvainen & Valpola, 2017, arXiv:1703.01780): few labels, many images.

A student learns the labels that there are and, of all images, to say what its own
moving average says of another view. Evaluation keeps that average, the teacher.

Views: {"image": [B, 2, ...] float, "label": [B] int32, -1 where there is none}.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Health, Method, Shown, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.types import (
    Array,
    Batch,
    Metrics,
    Params,
    Variables,
    Views,
)
from jax_ssl.losses.consistency import (
    labelled_cross_entropy,
    labelled_mean,
    probability_mse,
    softened_kl,
)
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.network import Copy, Follow, Heads, Network
from jax_ssl.nn.scores import teacher_beside_student
from jax_ssl.nn.views import pair_and

Consistency = Literal["mse", "kl"]


class MeanTeacherState(NamedTuple):
    """State of a mean teacher beside the student's params."""

    stats: Any  # Running statistics of the student.
    teacher: Copy  # Its moving average, encoder and head.


def mean_teacher(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    num_classes: int,
    consistency: Consistency = "mse",
    consistency_weight: optax.Schedule | float = 100.0,
    momentum: optax.Schedule | float = 0.999,
    noise: float = 0.0,
    dropout: float = 0.0,
    first_std: float = 0.01,
) -> Method:
    """Builds a mean teacher around `encoder`, with a linear classifier on its features.

    The batch comes from two kinds of examples: `feed.labelled=64` of its rows have a
    label, of which `feed.labels_per_class=40` says how many there are, and the others
    have none. Student and teacher each see a view of their own, by the recipe
    `supervised` with num_views=2. The paper lets the weight rise along
    dict(name="sigmoid_ramp", value=100.0, epochs=80), and has a momentum of 0.99 until
    then, dict(name="after", first=0.99, value=0.999, epochs=80).

    Args:
        encoder: returns `Features`; evaluation keeps the teacher's.
        views: one example -> {"image": two views of it, "label": [] int32}.
        heads: modules in the place of those made here, by the name of their part.
        num_classes: K.
        consistency: "mse", the squared difference of probabilities, averaged over
            classes; or "kl", the divergence of the student's from the teacher's.
        consistency_weight: of it, beside a cross-entropy of weight 1.
        momentum: α, the weight of the old teacher.
        noise: standard deviation of what is added to each network's inputs, in the
            units of the views.
        dropout: share of the features that each network's head does not see.
        first_std: of the first weights of the head.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        The cross-entropy is the mean over rows that have a label, the consistency over
        all. The teacher is in training mode, with running statistics of its own.
    """
    checks.at_least(2, num_classes=num_classes)
    checks.one_of(get_args(Consistency), consistency=consistency)
    checks.at_least(0, consistency_weight=consistency_weight, noise=noise)
    checks.at_least(0, first_std=first_std)
    checks.within("[0, 1]", momentum=momentum)
    checks.within("[0, 1)", dropout=dropout)
    head = LinearHead(num_classes, first_std, dropout=dropout)
    net = Network.of(encoder, heads, head=head)

    def init(key: Array, views: Views) -> tuple[Params, MeanTeacherState]:
        more = " and config.views.num_views = 2"
        images, _ = pair_and("label", views, "supervised", more)
        params, stats = net.init(key, images[:, 0])
        return params, MeanTeacherState(stats, net.copy(params, stats, until="head"))

    def scores(own: Copy, images: Array, key: Array) -> tuple[Array, Any]:
        noise_key, *drop_keys = jax.random.split(key, 3)
        if noise:
            drawn = jax.random.normal(noise_key, images.shape, jnp.float32)
            images = images + noise * drawn.astype(images.dtype)
        rngs = dict(zip(("dropout", "drop_path"), drop_keys, strict=True))
        out, stats = net(*own, images, rngs=rngs)
        return out["head"], stats

    def loss(
        params: Params,
        state: MeanTeacherState,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[MeanTeacherState, Metrics]]:
        images, labels = views["image"], views["label"]
        student_key, teacher_key = jax.random.split(key)
        said, stats = scores(Copy(params, state.stats), images[:, 0], student_key)
        taught, moved = scores(state.teacher, images[:, 1], teacher_key)
        known = labelled_cross_entropy(said, labels)
        if consistency == "mse":
            apart = probability_mse(said, taught)
        else:
            apart = softened_kl(said, taught, 1.0)
        weight = at(consistency_weight, step)
        right = (said.argmax(-1) == labels).astype(jnp.float32)
        metrics = {
            "train_accuracy": labelled_mean(right, labels),
            "cross_entropy": jax.lax.stop_gradient(known),
            "consistency": jax.lax.stop_gradient(apart),
            "consistency_weight": weight,
            "momentum": at(momentum, step),
        }
        teacher = jax.lax.stop_gradient(state.teacher._replace(stats=moved))
        return known + weight * apart, (MeanTeacherState(stats, teacher), metrics)

    def whole(params: Params, state: MeanTeacherState) -> Variables:
        del params
        return state.teacher.variables()

    def project(params: Params, state: MeanTeacherState, x: Array) -> Array:
        del params
        return net(*state.teacher, x, train=False)[0]["head"]

    def shows(
        params: Params, state: MeanTeacherState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        own = Copy(params, state.stats)
        taught, said = (
            net(*copy, examples["view"], train=False)[0]["head"]
            for copy in (state.teacher, own)
        )
        caption = (
            "What the teacher, the moving average that is evaluated, and the student "
            "say of the same image, without noise and without dropout."
        )
        return teacher_beside_student(examples, taught, said, caption)

    kept = net.evaluated(of="teacher", chance=math.log(num_classes))
    kept["exports"]["classifier"] = whole
    kept["health"] = Health(
        project, kept["health"].chance, classes=num_classes, unlabelled=True
    )
    return Method(
        views=views,
        init=init,
        loss=loss,
        update=Follow(momentum),
        shows=shows,
        **kept,
    )
