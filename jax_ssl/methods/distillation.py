"""Knowledge distillation (Hinton et al., 2015, arXiv:1503.02531), with FitNets' hint.

A network learns what another one, which is trained and stays as it is, says of the same
images: its softened scores of the classes, or its features.

Views: {"image": [B, H, W, C] float, "label": [B] int32, -1 where there is none}, or
images [B, H, W, C] where no label is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Health, Load, Method, Shown, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.types import (
    Array,
    Batch,
    Features,
    Metrics,
    Params,
    Variables,
    Views,
)
from jax_ssl.losses.consistency import (
    labelled_cross_entropy,
    labelled_mean,
    softened_kl,
)
from jax_ssl.nn.affine import Dense
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.network import Copy, Heads, Network
from jax_ssl.nn.scores import teacher_beside_student
from jax_ssl.nn.views import image, one_and

Target = Literal["logits", "features"]


class DistillationState(NamedTuple):
    """State of a distillation beside the student's params."""

    stats: Any  # Running statistics of the student.
    teacher: Copy  # The network that is followed; it never moves.


class Regressor(nn.Module):
    """A linear map of features to the width of others, cell by cell where they lie so.

    Attributes:
        dtype: compute dtype; parameters are float32 and so is the output.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, like: Array, *, train: bool) -> Array:
        """Maps x [..., D] to [..., D'], D' being the width of `like`."""
        del train
        dense = Dense(like.shape[-1], dtype=self.dtype, name="dense")
        return dense(x).astype(jnp.float32)


def distillation(
    encoder: nn.Module,
    views: ViewFn,
    make_encoder: Callable[[Mapping[str, Any]], Any],
    heads: Heads | None = None,
    *,
    teacher: dict,
    target: Target = "logits",
    num_classes: int | None = None,
    temperature: float = 4.0,
    hard_weight: float = 0.1,
    hint: tuple[int, int] | None = None,
    hint_weight: optax.Schedule | float = 1.0,
    first_std: float = 0.01,
) -> Method:
    """Builds the distillation of a trained network into `encoder`, of any kind.

    The file of the teacher is named by run.init_from = dict(teacher=FILE). For logits
    it holds a head too, `jax-ssl export --what=classifier` of a run of `classifier`,
    `mean_teacher` or of this method; for features it is the encoder that any run
    exports. The teacher sees the student's view, in evaluation mode. Images without a
    label, see `feed.labelled`, are told by the teacher alone.

    Args:
        encoder: returns `Features`; the student, which evaluation keeps.
        views: one example -> {"image": [H, W, C], "label": [] int32}, or the image
            alone where hard_weight is 0 or features are learned.
        make_encoder: section of a config -> encoder, for the teacher's.
        heads: modules in the place of those made here, by the name of their part.
        teacher: the section of its encoder, dict(name="resnet34", ...).
        target: "logits", the teacher's scores; or "features", its pooled ones, which a
            linear map of the student's learns by the mean squared error.
        num_classes: K, for logits.
        temperature: T, by which both networks' scores are divided; see `softened_kl`.
        hard_weight: of the cross-entropy with the labels, in [0, 1]; the teacher's
            scores have the rest, with the factor T².
        hint: stages of the student and of the teacher, places in their pyramids (0 is
            the finest, -1 the coarsest), the second of which a linear map of the first
            learns (FitNets, Romero et al., 2015, arXiv:1412.6550); None for no hint.
        hint_weight: of half its mean squared error.
        first_std: of the first weights of the head.

    Raises:
        ValueError: if a setting is out of range or lacks; when the views are known, for
            stages that are not there or have grids of other sizes.

    Note:
        FitNets learn the hint first and the scores afterwards. Both at once is the
        default; dict(name="after", first=1.0, value=0.0, epochs=10) as `hint_weight`
        ends the hint. Its regressor is a convolution of 1 x 1, for grids of one size.
    """
    checks.one_of(get_args(Target), target=target)
    checks.positive(temperature=temperature)
    checks.within("[0, 1]", hard_weight=hard_weight)
    checks.at_least(0, hint_weight=hint_weight, first_std=first_std)
    elder = make_encoder(teacher)
    parts, known = {}, {"encoder": elder}
    if target == "logits":
        if num_classes is None:
            raise ValueError(
                "num_classes = None: logits are scores of classes; say how many there "
                "are, or choose target = 'features'."
            )
        checks.at_least(2, num_classes=num_classes)
        parts["head"] = LinearHead(num_classes, first_std)
        known["head"] = LinearHead(num_classes, first_std)
    net, guide = Network.of(encoder, heads, **parts), Network(**known)
    labelled = target == "logits" and hard_weight > 0
    regressor = Regressor(getattr(encoder, "dtype", jnp.float32))

    def images_of(views: Views) -> Array:
        if labelled:
            return one_and("label", views, "supervised")[0]
        return image(views["image"] if isinstance(views, Mapping) else views)

    def pairs(own: Features, other: Features) -> dict[str, tuple[Array, Array]]:
        """What a regressor of each name reads and what it shall say."""
        found = {}
        if target == "features":
            found["adapter"] = own.pooled, other.pooled
        if hint is not None:
            found["hint"] = stages(own, other, hint)
        return found

    def init(key: Array, views: Views) -> tuple[Params, DistillationState]:
        images = images_of(views)
        params, stats = net.init(key, images)
        # Only its shapes matter, for the file of the teacher takes its place.
        elder_key, *keys = (jax.random.fold_in(key, i) for i in range(1, 4))
        state = DistillationState(stats, Copy(*guide.init(elder_key, images)))
        seen = jax.eval_shape(both, params, state, images, key)
        named = pairs(seen[0]["encoder"], seen[1]["encoder"])
        for own_key, (name, two) in zip(keys, named.items(), strict=False):
            zeros = (jnp.zeros((1, *x.shape[1:]), x.dtype) for x in two)
            params[name], _ = initialize(regressor, own_key, *zeros)
        return params, state

    def both(
        params: Params, state: DistillationState, images: Array, key: Array
    ) -> tuple[Any, Any, Any]:
        """Outputs of student and teacher by part, and the student's next stats."""
        own, stats = net(params, state.stats, images, rngs={"drop_path": key})
        seen, _ = guide(*state.teacher, images, train=False)
        return own, jax.lax.stop_gradient(seen), stats

    def loss(
        params: Params,
        state: DistillationState,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[DistillationState, Metrics]]:
        own, seen, stats = both(params, state, images_of(views), key)
        errors = {}
        for name, two in pairs(own["encoder"], seen["encoder"]).items():
            found, _ = forward(regressor, params[name], {}, *two, whole=True)
            errors[name] = jnp.square(found - two[1].astype(jnp.float32)).mean()
        metrics: dict[str, Array] = {}
        if target == "features":
            value = metrics["feature_error"] = errors["adapter"]
        else:
            said, taught = own["head"], seen["head"]
            value = soft = softened_kl(said, taught, temperature)
            metrics["soft_loss"] = soft
            metrics["agreement"] = (said.argmax(-1) == taught.argmax(-1)).mean()
        if labelled:
            labels = views["label"]
            hard = metrics["hard_loss"] = labelled_cross_entropy(said, labels)
            value = (1 - hard_weight) * soft + hard_weight * hard
            right = (said.argmax(-1) == labels).astype(jnp.float32)
            metrics["train_accuracy"] = labelled_mean(right, labels)
        if hint is not None:
            metrics["hint_error"] = errors["hint"]
            value = value + at(hint_weight, step) * errors["hint"] / 2
        metrics = jax.lax.stop_gradient(metrics)
        return value, (state._replace(stats=stats), metrics)

    def whole(params: Params, state: DistillationState) -> Variables:
        return net.copy(params, state.stats, until="head").variables()

    def take(params: Params, state: DistillationState) -> Variables:
        del params
        known = state.teacher
        if target == "logits":
            return known.variables()
        return {"params": known.params["encoder"], **known.stats["encoder"]}

    def fill(
        params: Params, state: DistillationState, variables: Variables
    ) -> tuple[Params, DistillationState]:
        if target == "logits":
            return params, state._replace(teacher=state.teacher.holding(variables))
        stats = dict(variables)
        own = {"encoder": stats.pop("params")}
        return params, state._replace(teacher=Copy(own, {"encoder": stats}))

    def project(params: Params, state: DistillationState, x: Array) -> Array:
        return net(params, state.stats, x, train=False)[0]["head"]

    def shows(
        params: Params, state: DistillationState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        if target != "logits":
            return {}  # Features have no classes to be named.
        images = examples["view"]
        taught, _ = guide(*state.teacher, images, train=False)
        said = project(params, state, images)
        caption = (
            "What the teacher and the student say of the same image, softened as in "
            "the loss."
        )
        return teacher_beside_student(
            examples, taught["head"], said, caption, temperature
        )

    kept = net.evaluated(followers=())
    file = "encoder"
    kept["health"] = replace(kept["health"], unlabelled=True)
    if target == "logits":
        file = "classifier"
        kept["exports"][file] = whole
        kept["health"] = Health(project, classes=num_classes, unlabelled=True)
    kept["loads"]["teacher"] = Load(take, fill, required=True, export=file)
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)


def stages(own: Features, other: Features, hint: tuple[int, int]) -> tuple[Any, Any]:
    """The student's stage and the teacher's, arrays of which the widths may differ.

    Raises:
        ValueError: if one of the two is not there, or their grids differ.
    """
    found = []
    for words, features, place in zip(
        ("student", "teacher"), (own, other), hint, strict=True
    ):
        count = len(features.pyramid)
        if not -count <= place < count:
            raise ValueError(
                f"hint = {tuple(hint)}: the {words} has {count} stages, which are "
                f"numbered from 0, and no stage {place}; choose another, or an encoder "
                "with a pyramid."
            )
        found.append(features.pyramid[place])
    if found[0].shape[:-1] != found[1].shape[:-1]:
        sides = [" x ".join(map(str, level.shape[1:-1])) for level in found]
        raise ValueError(
            f"hint = {tuple(hint)}: the student's stage has {sides[0]} cells and the "
            f"teacher's {sides[1]}; choose two stages of one size."
        )
    return found[0], found[1]
