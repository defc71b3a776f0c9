"""Heads that learn the classes of pixels from a frozen encoder, on crops of pictures.

What linear and U-Net segmentation share. Heads of several learning rates see the same
crops, as DINOv2's do (Oquab et al., 2023, arXiv:2304.07193), so that the encoder
reads each crop once for all of them.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_ssl.core import checks
from jax_ssl.core.compiling import once
from jax_ssl.core.fields import VOID
from jax_ssl.core.types import Array, PyTree, Views
from jax_ssl.evaluate.crops import random_crop
from jax_ssl.evaluate.levels import ReadLevels
from jax_ssl.evaluate.passes import Look, Passes
from jax_ssl.evaluate.protocol import Outcome, Protocol, Skipped
from jax_ssl.evaluate.segmentation import METRICS, NO_CLASS, ONE_CLASS, overlaps
from jax_ssl.losses.segmentation import pixel_cross_entropy
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.parallel.rows import map_examples


@dataclass(frozen=True, kw_only=True)
class Training:
    """How heads are trained, and how they read whole pictures; settings of both.

    Attributes:
        learning_rates: of AdamW, after the warm-up and before the decay to 0, which is
            linear.
        weight_decay: of AdamW, for all parameters of a head.
        steps: of each training.
        warmup_steps: from 0 to the learning rate, linearly.
        batch_size: crops of a step, over all devices.
        crop: (height, width) of a crop, or the side of a square; None for that of the
            evaluation's view.
        min_scale: smallest factor by which pictures are enlarged before the crop; the
            factor is uniform.
        max_scale: largest.
        flip: probability of a mirror image.
        slide: pixels from one window of the size of a crop to the next, in which whole
            pictures are read and whose scores are added; None reads them at once.
        held_out: share of the training pictures that the choice is made on.
        seed: of heads, crops, order and held-out part.
    """

    learning_rates: tuple[float, ...]
    weight_decay: float
    steps: int
    warmup_steps: int
    batch_size: int
    crop: int | tuple[int, int] | None
    min_scale: float
    max_scale: float
    flip: float
    slide: int | None
    held_out: float
    seed: int

    def __post_init__(self) -> None:
        checks.not_empty(learning_rates=self.learning_rates)
        checks.positive(learning_rates=self.learning_rates)
        checks.at_least(0, weight_decay=self.weight_decay)
        checks.at_least(0, warmup_steps=self.warmup_steps)
        checks.at_least(1, steps=self.steps, batch_size=self.batch_size)
        checks.at_least(1, crop=self.crop, slide=self.slide)
        checks.positive(min_scale=self.min_scale)
        checks.rising(min_scale=self.min_scale, max_scale=self.max_scale)
        checks.within("[0, 1]", flip=self.flip)
        checks.within("(0, 1)", held_out=self.held_out)

    def sides(self, whole: Sequence[int]) -> tuple[int, int]:
        """(height, width) of a crop of pictures [H, W, ...]."""
        if self.crop is None:
            return whole[0], whole[1]
        crop = self.crop
        return (crop, crop) if isinstance(crop, int) else crop

    def share(self, at: Array) -> Array:
        """Share of the learning rate at a step."""
        risen = jnp.minimum((at + 1) / max(self.warmup_steps, 1), 1.0)
        return risen * (1 - at / self.steps)


class Heads(NamedTuple):
    """H heads, every array [H, ...]."""

    params: PyTree
    stats: PyTree
    slots: PyTree
    rates: Array


def dense_probe(
    name: str,
    head: Any,
    levels: ReadLevels,
    training: Training,
    settings: Mapping[str, Any],
    *,
    num_classes: int,
    names: Sequence[str] | None,
) -> Protocol:
    """A protocol that trains heads on levels of a frozen encoder.

    Args:
        name: the key of `PROTOCOLS`.
        head: a module, levels -> scores [B, h, w, K], with batch norm or without.
        levels: what is read of pictures.
        training: of the heads.
        settings: further ones, for the record.
        num_classes: K.
        names: of the classes.
    """
    tx = optax.chain(
        optax.scale_by_adam(), optax.add_decayed_weights(training.weight_decay)
    )

    def keys() -> Array:
        """Of the heads' first weights, and of the crops."""
        return jax.random.split(jax.random.key(training.seed))

    def started(passes: Passes, rates: Sequence[float]) -> Heads:
        """Heads that all begin with the same weights, on the host."""
        shapes = passes.shapes(training.sides(passes.seen["image"].shape))

        def begin(rates: Array) -> Heads:
            given = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            params, stats = initialize(head, keys()[0], given)
            first = Heads(params, stats, tx.init(params), rates[0])
            heads = jax.tree.map(lambda x: jnp.stack([x] * len(rates)), first)
            return heads._replace(rates=rates)

        made: Heads = jax.device_get(once(begin)(np.asarray(rates, np.float32)))
        return made

    def step(look: Look, heads: Heads, seen: Views, at: Array) -> tuple[Heads, Array]:
        def cut(key: Array, seen: Views) -> Views:
            sides = training.sides(seen["mask"].shape)
            scales = training.min_scale, training.max_scale
            return random_crop(
                key, seen, sides=sides, scales=scales, flip=training.flip
            )

        chosen = {name: seen[name] for name in ("image", "mask")}
        crops = map_examples(cut, jax.random.fold_in(keys()[1], at), chosen)
        mask = crops["mask"]
        read = jax.lax.stop_gradient(look(crops["image"]))

        def one(own: Heads) -> tuple[Heads, Array]:
            def objective(params: PyTree) -> tuple[Array, PyTree]:
                found, stats = forward(head, params, own.stats, read, train=True)
                return pixel_cross_entropy(fine(found, mask), mask), stats

            told = jax.value_and_grad(objective, has_aux=True)(own.params)
            (loss, stats), gradient = told
            updates, slots = tx.update(gradient, own.slots, own.params)
            rate = -own.rates * training.share(at)
            updates = jax.tree.map(lambda update: rate * update, updates)
            params = optax.apply_updates(own.params, updates)
            return Heads(params, stats, slots, own.rates), loss

        return jax.lax.map(one, heads)

    def score(look: Look, heads: Heads, seen: Views) -> Array:
        """Pixels that are right, found and true, [B, H, 3, K]."""
        mask = seen["mask"]
        read = [
            (look(seen["image"][:, rows, columns]), rows, columns)
            for rows, columns in windows(mask.shape[1:], training)
        ]

        def one(own: Heads) -> Array:
            total = jnp.zeros((*mask.shape, num_classes))
            for given, *place in read:
                found, _ = forward(head, own.params, own.stats, given, train=False)
                at = (slice(None), *place)
                # A pixel has as many windows for all classes: the sum is enough.
                total = total.at[at].add(fine(found, mask[at]))
            said = total.argmax(-1)
            counted, classes = mask != VOID, jnp.arange(num_classes)
            marks = (counted & (said == mask), said), (counted, said), (counted, mask)
            return jnp.stack(
                [
                    (there[..., None] & (which[..., None] == classes)).sum((1, 2))
                    for there, which in marks
                ],
                axis=1,
            ).astype(jnp.float32)

        return jnp.moveaxis(jax.lax.map(one, heads), 0, 1)

    def trained(
        passes: Passes, rows: np.ndarray, rates: Sequence[float]
    ) -> tuple[Heads, np.ndarray]:
        """Heads, and the loss of every step and head [steps, H]."""
        generator = np.random.default_rng(training.seed)
        needed = training.steps * training.batch_size
        turns = -(-needed // len(rows))
        order = np.concatenate([generator.permutation(rows) for _ in range(turns)])
        order = order[:needed].reshape(training.steps, training.batch_size)
        heads, losses = passes.fold(step, started(passes, rates), order)
        return heads, np.stack(losses)

    def counts(passes: Passes, heads: Heads, rows: np.ndarray) -> np.ndarray:
        """[H, 3, K] of all of some pictures together, float64."""
        found = passes.each(score, heads, rows)
        return found.astype(np.float64).sum(axis=0)

    def run(train: Passes, test: Passes) -> Iterator[Outcome | Skipped]:
        rates, rows = training.learning_rates, train.rows
        rate, detail = rates[0], dict[str, Any]()
        if len(rates) > 1:
            held = max(1, round(training.held_out * len(rows)))
            if held >= len(rows):
                yield Skipped(f"{len(rows)} training picture(s) leave none to hold out")
                return
            order = np.random.default_rng(training.seed).permutation(rows)
            validation, fitted = np.sort(order[:held]), np.sort(order[held:])
            heads, losses = trained(train, fitted, rates)
            found = counts(train, heads, validation)
            if not found[0, 2].any():
                yield Skipped(f"no pixel of the {held} pictures held out has a class")
                return
            worth = [
                overlaps(each, names)[0]["miou"] if np.isfinite(loss) else 0.0
                for each, loss in zip(found, losses[-1], strict=True)
            ]
            best = int(np.argmax(worth))
            rate = rates[best]
            detail["validation"] = [
                {"learning_rate": lr, "miou": value}
                for lr, value in zip(rates, worth, strict=True)
            ]
            if rate in (min(rates), max(rates)):
                detail["note"] = f"learning rate {rate:g} is at the edge of the grid."
        heads, losses = trained(train, rows, [rate])
        if not np.isfinite(losses[-1]).all():
            yield Skipped(broken(losses[:, 0], rate, num_classes))
            return
        (found,) = counts(test, heads, test.rows)
        if not found[2].any():
            yield NO_CLASS
            return
        if np.count_nonzero(found[2]) == 1:
            yield ONE_CLASS
            return
        values, iou = overlaps(found, names)
        last = losses[-max(1, len(losses) // 10) :]
        yield Outcome(
            title=name.replace("_", " "),
            settings={**settings, **asdict(training)},
            values=values,
            detail={
                "learning_rate": rate,
                "train_loss": float(last.mean()),
                "iou": iou,
                **detail,
            },
            remark=remark(name, training, len(rates)),
        )

    return Protocol(
        name=name,
        reads="pyramid",
        needs=("mask",),
        kind="mask",
        metrics=METRICS,
        run=run,
        reader=levels.network,
        raw=levels.raw,
        passes=True,
    )


def fine(scores: Array, mask: Array) -> Array:
    """Scores [B, h, w, K] at the pixels of a mask [B, H, W], bilinearly."""
    shape = (*mask.shape, scores.shape[-1])
    return (
        jax.image.resize(scores, shape, "bilinear") if scores.shape != shape else scores
    )


def windows(sides: Sequence[int], training: Training) -> list[tuple[slice, ...]]:
    """Parts of a picture that are read by themselves; the last end at its border."""
    if training.slide is None:
        return [(slice(0, sides[0]), slice(0, sides[1]))]
    spans = []
    for whole, side in zip(sides, training.sides(sides), strict=True):
        last = max(whole - side, 0)
        starts = [*range(0, last, training.slide), last]
        spans.append([slice(start, min(start + side, whole)) for start in starts])
    return list(itertools.product(*spans))


def broken(losses: np.ndarray, rate: float, num_classes: int) -> str:
    """Why a loss is no number, in words."""
    if not np.isfinite(losses[0]):
        return (
            "the first loss is not a number: masks hold a class that is not below "
            f"num_classes = {num_classes} and not 255, or features are not finite"
        )
    return f"the head diverged; lower learning_rates, {rate:g} was the best"


def remark(name: str, training: Training, rates: int) -> str:
    """How heads were trained, for below a table."""
    chosen = f", best of {rates} learning rates on held-out train" if rates > 1 else ""
    return (
        f"{name.replace('_', ' ')}: {training.steps} steps of {training.batch_size} "
        f"crops on the frozen encoder{chosen}; regions of all pictures pooled"
    )
