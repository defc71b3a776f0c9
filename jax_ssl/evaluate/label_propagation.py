"""Masks carried along a film by what its cells resemble: DAVIS without training.

Jabri et al., 2020, "Space-Time Correspondence as a Contrastive Random Walk",
arXiv:2006.14613, and DINO (Caron et al., 2021, arXiv:2104.14294, section 4.2.2): the
mask of the first frame is given, and every later cell has the labels of those cells of
the first and of the last frames that are most like it and not far away.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import VOID
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, Variables
from jax_ssl.evaluate import davis
from jax_ssl.evaluate.levels import last_levels, readable
from jax_ssl.evaluate.part import Part
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Reader, Skipped
from jax_ssl.parallel.together import together

METRICS = (
    Metric("j_and_f"),
    Metric("j_mean"),
    Metric("j_recall"),
    Metric("j_decay", better="lower"),
    Metric("f_mean"),
    Metric("f_recall"),
    Metric("f_decay", better="lower"),
)
TINY = 1e-12


class Memory(NamedTuple):
    """What a frame is compared with; the first frame in place 0.

    Attributes:
        cells: [1 + n, h, w, D] of unit length.
        labels: [1 + n, h, w, C], shares of the objects.
    """

    cells: Array
    labels: Array


def label_propagation(
    encoder: Any,
    example_seen: Callable[[], Any],
    *,
    last_frames: int = 7,
    neighbourhood: int = 12,
    top_k: int = 5,
    temperature: float = 0.1,
    stage: int | None = None,
    bound: float = davis.BOUND,
    mask: str = "mask",
    sequence: str = "sequence",
    frame: str = "frame",
) -> Protocol:
    """Regions (J) and boundaries (F) of objects that are followed through films.

    Each cell of a frame gets the mean of the labels of the `top_k` most similar cells
    near its place, in the first frame and the last ones, weighted by the softmax of
    their cosines; cells as similar as the last of these count too. Labels are resized
    bilinearly to the picture, each object's brought to [0, 1], and the largest wins. J
    and F are those of DAVIS 2017 (semi-supervised): means over the frames
    between the first and the last, then over all objects of all films. Nothing is
    learned: the training part is not read. The default settings are those of DINO,
    which reports a J&F of 61.8 % with ViT-S/16 on the validation films of DAVIS 2017.

    The examples are single frames, as those of the source `davis`. The controls are the
    untrained encoder and the pixels that each cell covers; the remark says what the
    first masks are worth where they are.

    Args:
        encoder: whose grid is read.
        example_seen: () -> shape and dtype of what it reads of an example.
        last_frames: n, how many are kept beside the first.
        neighbourhood: how many cells away a similar one may be, along each side; 0 for
            anywhere.
        top_k: similar cells whose labels are taken.
        temperature: of the softmax.
        stage: of the pyramid, or block of a ViT, from 1, that is read; None for the
            grid.
        bound: how far from the true boundary one may be, as a share of the diagonal.
        mask: field with the objects' numbers from 1 on, 0 for none; 255 counts as 0.
        sequence: field of kind number that tells the films apart.
        frame: field of kind number that rises along a film.

    Returns:
        A protocol whose detail holds "objects" (by film and object "j" and "f"),
        "unmoved" (J&F of the first masks), and "films_left_out" if some have no object
        or fewer than three frames.

    Raises:
        ValueError: if a setting is out of range, or the encoder makes no grid of cells.
    """
    checks.at_least(1, last_frames=last_frames, top_k=top_k)
    checks.at_least(0, neighbourhood=neighbourhood)
    checks.positive(temperature=temperature, bound=bound)
    levels = last_levels(encoder, 1, stage)
    sides = example_seen().shape[:2]
    readable(encoder, levels, example_seen(), lambda shape: (shape[0], shape[1]))
    settings = {
        "last_frames": last_frames,
        "neighbourhood": neighbourhood,
        "top_k": top_k,
        "temperature": temperature,
        "stage": stage,
        "bound": bound,
    }
    follow = partial(
        soft_labels, reach=neighbourhood, top_k=top_k, temperature=temperature
    )
    memo: dict[bytes, float] = {}

    @together
    def started(cells: Array, labels: Array) -> Memory:
        """The memory after the first frame, from [1, h, w, D] and [h, w, C]."""
        place = jnp.zeros(1 + last_frames).at[0].set(1)
        return Memory(*(jnp.multiply.outer(place, x) for x in (unit(cells[0]), labels)))

    @together
    def followed(memory: Memory, cells: Array, at: Array) -> tuple[Memory, Array]:
        """Frame `at` of a film: the memory with it, and its objects [H, W]."""
        own = unit(cells[0])
        known = jnp.arange(1 + last_frames) < jnp.minimum(at, 1 + last_frames)
        found = follow(own, memory, known)
        place = 1 + (at - 1) % last_frames
        memory = Memory(
            memory.cells.at[place].set(own), memory.labels.at[place].set(found)
        )
        return memory, hard_labels(found, sides)

    def objects_of(part: Part, places: np.ndarray) -> np.ndarray:
        """Objects [n, H, W] uint8 of a film's frames, cut to what they fill."""
        masks = part.fields[mask][places]
        if "size" in part.fields:
            height, width = part.fields["size"][places[0]]
            masks = masks[:, :height, :width]
        return np.where(masks == VOID, 0, masks).astype(np.uint8)

    def predicted(part: Part, places: np.ndarray, true: np.ndarray, most: int) -> Any:
        """Objects [n - 1, H, W] uint8 of all frames but the first."""
        grid = part.values.take(places[:1])
        first = nearest(true[0], grid.shape[1:3])
        memory = started(grid, np.eye(1 + most, dtype=np.float32)[first])
        found = []
        for at, place in enumerate(places[1:], start=1):
            cells = part.values.take(np.array([place]))
            memory, made = followed(memory, cells, np.int32(at))
            found.append(nearest(np.asarray(made), true.shape[1:]))
        return np.stack(found)

    def run(same: Part, test: Part) -> Iterator[Outcome | Skipped]:
        del same
        films, kept = films_of(test, sequence, frame), {}
        for number, places in films.items():
            true = objects_of(test, places)
            if len(places) > 2 and true[0].any():
                kept[number] = places, true
        left_out = len(films) - len(kept)
        if not kept:
            yield Skipped("no film has three frames and an object in the first of them")
            return
        most = max(int(true[0].max()) for _, true in kept.values())
        scores, objects = [], {}
        for number, (places, true) in kept.items():
            made = predicted(test, places, true, most)
            for object_, (j, f) in measured(made, true, bound).items():
                scores.append((j, f))
                objects[f"{number}_{object_}"] = {"j": j.mean, "f": f.mean}
        key = test.rows.tobytes()
        if key not in memo:
            still = [
                measured(np.repeat(true[:1], len(true) - 1, axis=0), true, bound)
                for _, true in kept.values()
            ]
            pairs = [pair for film in still for pair in film.values()]
            memo[key] = float(np.mean([(j.mean, f.mean) for j, f in pairs]))
        j, f = np.mean(scores, axis=0)  # Each mean, recall, decay.
        values = [(j[0] + f[0]) / 2, *j, *f]
        yield Outcome(
            title="label propagation",
            settings=settings,
            values={m.name: float(v) for m, v in zip(METRICS, values, strict=True)},
            detail={
                "objects": objects,
                "unmoved": memo[key],
                **_left_out(left_out, len(films)),
            },
            remark=f"label propagation: {len(scores)} objects of {len(kept)} films, "
            f"from the first frame and {last_frames} last ones; the first masks left "
            f"where they are have a J&F of {memo[key]:.1%}",
        )

    return Protocol(
        name="label_propagation",
        reads="grid",
        needs=(mask, sequence, frame),
        kind=("mask", "number", "number"),
        metrics=METRICS,
        run=run,
        reader=only(levels.network),
        raw=only(levels.raw),
        alone=True,
        learns=False,
        optional=("size",),
    )


def _left_out(count: int, films: int) -> dict[str, Any]:
    """How many films are not judged, if some are, and why."""
    if not count:
        return {}
    note = (
        f"{count} of {films} films are left out, which have fewer than three frames or "
        "no object in the first."
    )
    return {"films_left_out": count, "note": note}


def only(read: Reader) -> Reader:
    """The single level that is read, as [B, h, w, D]."""

    def one(variables: Variables, x: Array) -> Array:
        (level,) = read(variables, x)
        return level

    return one


def films_of(part: Part, sequence: str, frame: str) -> dict[int, np.ndarray]:
    """Places of the frames of each film, in their order."""
    there = np.flatnonzero(part.counts)
    films = part.fields[sequence][there]
    order = np.lexsort((part.fields[frame][there], films))
    there, films = there[order], films[order]
    return {int(n): there[films == n] for n in np.unique(films)}


def measured(
    found: np.ndarray, true: np.ndarray, bound: float
) -> dict[int, tuple[davis.Statistics, davis.Statistics]]:
    """J and F of every object of the first frame, by its number.

    Neither the first frame counts, which is given, nor the last, as in DAVIS 2017.

    Args:
        found: [n - 1, H, W] of all frames but the first.
        true: [n, H, W].
        bound: see `davis.boundary`.
    """
    scores = {}
    for number in range(1, int(true[0].max()) + 1):
        pairs = [
            (said == number, own == number)
            for said, own in zip(found[:-1], true[1:-1], strict=True)
        ]
        j = np.array([davis.region(*pair) for pair in pairs])
        f = np.array([davis.boundary(*pair, bound) for pair in pairs])
        scores[number] = davis.statistics(j), davis.statistics(f)
    return scores


def soft_labels(
    query: Array,
    memory: Memory,
    known: Array,
    *,
    reach: int,
    top_k: int,
    temperature: float,
) -> Array:
    """Labels of a frame's cells from those that they resemble, [h, w, C].

    It is done row by row, so that no cell is compared with those of rows too far away.

    Args:
        query: [h, w, D] of unit length.
        memory: of N frames.
        known: [N] bool, which of them there are.
        reach: cells along each side, 0 for all.
        top_k: see `label_propagation`.
        temperature: see `label_propagation`.
    """
    h, w, _ = query.shape
    up = min(reach, h - 1) if reach else h - 1
    aside = reach or w
    pads = ((0, 0), (up, up), (0, 0), (0, 0))
    cells, labels = (jnp.pad(x, pads) for x in memory)
    places = jnp.arange(w)
    beside = jnp.abs(places[:, None] - places) <= aside  # [query's, memory's column]

    def row(number: Array) -> Array:
        near, own = (
            jax.lax.dynamic_slice_in_dim(x, number, 2 * up + 1, axis=1)
            for x in (cells, labels)
        )
        rows = number - up + jnp.arange(2 * up + 1)
        inside = (rows >= 0) & (rows < h)
        there = known[:, None, None] & inside[:, None] & beside[:, None, None]
        like = einsum("qd,nrcd->qnrc", query[number], near)
        like = jnp.where(there, like, -jnp.inf).reshape(w, -1)
        best = jax.lax.top_k(like, min(top_k, like.shape[1]))[0]
        weights = jnp.exp((like - best[:, :1]) / temperature)
        weights = jnp.where(like >= best[:, -1:], weights, 0.0)
        weights = weights / weights.sum(axis=1, keepdims=True)
        return einsum("qm,mc->qc", weights, own.reshape(-1, own.shape[-1]))

    return jax.lax.map(row, jnp.arange(h))


def hard_labels(soft: Array, sides: tuple[int, int]) -> Array:
    """The objects [H, W] uint8 of shares [h, w, C], each brought to [0, 1] before."""
    fine = jax.image.resize(soft, (*sides, soft.shape[-1]), "bilinear")
    low, high = fine.min((0, 1)), fine.max((0, 1))
    spread = jnp.maximum(high - low, TINY)
    # What is nowhere stays so.
    scaled = jnp.where(high > 0, (fine - low) / spread, fine)
    return scaled.argmax(-1).astype(jnp.uint8)


def nearest(mask: np.ndarray, sides: Any) -> np.ndarray:
    """A mask [H, W] with other sides, each pixel that in the middle of its own."""
    rows, columns = (
        ((np.arange(side) + 0.5) * whole / side).astype(int)
        for side, whole in zip(sides, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def unit(cells: Array) -> Array:
    """Cells [..., D] of unit length."""
    length = jnp.linalg.norm(cells, axis=-1, keepdims=True)
    return cells / jnp.maximum(length, TINY)
