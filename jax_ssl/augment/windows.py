"""Which frames of a film a view shows, and which part of them, for `films`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jax_ssl.augment.pixels import field_of, in_unit
from jax_ssl.core import checks
from jax_ssl.core.fields import Field, Fields, Window, resampled
from jax_ssl.core.types import Array, Example
from jax_ssl.ops.resize import FILTERS, Axis, resample

Sides = tuple[int, int]
Filter = Literal["bilinear", "bicubic"]
Cameras = Literal["both", "left"]
Frames = dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What both views of films have in common: which frames, and how large.

    Attributes:
        recipe: for messages.
        size: (h, w) of the view, or None for that of the frames.
        num_frames: of the view, or None for all.
        gap: frames from one to the next.
        cameras: of two.
        interpolation: antialiased filter of the resize.
        carried: further fields that follow the window.
        fields: what the examples hold, where fields are carried.
    """

    recipe: str
    size: Sides | None
    num_frames: int | None
    gap: int
    cameras: Cameras
    interpolation: Filter
    carried: tuple[str, ...]
    fields: Fields | None

    def __post_init__(self) -> None:
        checks.at_least(1, size=self.size, num_frames=self.num_frames, gap=self.gap)
        checks.one_of(("both", "left"), cameras=self.cameras)
        checks.one_of(FILTERS, interpolation=self.interpolation)
        if missing := sorted({*self.carried} - {*(self.fields or {})}):
            raise ValueError(
                f"{self.recipe}: carried = {self.carried}, but the examples have no "
                f"{missing[0]!r}, only {sorted(self.fields or {})}."
            )

    def chosen(self, example: Example, colour: Sequence[str] = ()) -> Frames:
        """The fields that a view is made of; of one camera alone, without its side.

        Raises:
            ValueError: if the example has no frames, or too few of them.
        """
        found: Frames = {}
        if "left_frames" not in example:
            found["frames"] = field_of(
                self.recipe, example, "frames", "THWC", colour=colour
            )
            if "intrinsics" in example:
                found["intrinsics"] = example["intrinsics"]
        elif self.cameras == "left":
            found["frames"] = example["left_frames"]
            if "left_camera" in example:
                found["intrinsics"] = example["left_camera"][:, :3]
        else:
            names = [
                f"{s}_{n}" for s in ("left", "right") for n in ("frames", "camera")
            ]
            found = {name: example[name] for name in names if name in example}
        for name in films_of(found):
            field_of(self.recipe, found, name, "THWC", colour=colour)
        return found | {name: example[name] for name in self.carried}

    def check(self, chosen: Mapping[str, Array], *, around_target: bool) -> None:
        """Refuses films that are too short, here or in `around_target`.

        Raises:
            ValueError: naming the settings.
        """
        for frames in films_of(chosen).values():
            (self.around_target if around_target else self.span)(len(frames))

    def span(self, length: int) -> int:
        """From the first to the last frame of the view, of films of `length` frames.

        Raises:
            ValueError: if so many frames do not fit.
        """
        count = self.num_frames or 1 + (length - 1) // self.gap
        span = (count - 1) * self.gap
        if span >= length:
            raise ValueError(
                f"{self.recipe}: num_frames = {count} with gap = {self.gap} do not fit "
                f"films of {length} frames; take fewer, or longer films."
            )
        return span

    def around_target(self, length: int) -> int:
        """The first frame of a view whose target is that of films of `length` frames.

        Raises:
            ValueError: if so many frames do not fit.
        """
        span, target = self.span(length), (length - 1) // 2
        start = target - span // self.gap // 2 * self.gap
        if start < 0 or start + span >= length:
            raise ValueError(
                f"{self.recipe}: num_frames = {self.num_frames} with gap = {self.gap} "
                f"do not fit films of {length} frames around their target, number "
                f"{target}, to which labels belong; take fewer, or longer films."
            )
        return start

    def sides(self, chosen: Mapping[str, Array]) -> Sides:
        """(h, w) of the view."""
        _, height, width, _ = next(iter(films_of(chosen).values())).shape
        return self.size or (height, width)

    def shown(
        self,
        chosen: Mapping[str, Array],
        start: int | Array,
        windows: tuple[Window, Window],
        extent: Array,
        largest: tuple[float, float],
    ) -> Frames:
        """The chosen fields in the window, frames in [0, 1].

        Args:
            chosen: as `chosen` gives them.
            start: the first frame.
            windows: of the frames up to the target, and of those after it.
            extent: [2] (height, width) that is filled.
            largest: (height, width) that a window can have, in pixels.
        """
        films = films_of(chosen)
        out: Frames = {}
        for name, frames in films.items():
            span = self.span(len(frames))
            cut = jax.lax.dynamic_slice_in_dim(frames, start, span + 1)[:: self.gap]
            after = (len(cut) - 1) // 2 + 1
            same = windows[0] is windows[1]
            parts = [cut] if same else [cut[:after], cut[after:]]
            resized = [
                self._resized(part, window, extent, largest)
                for part, window in zip(parts, windows, strict=False)
            ]
            x = resized[0] if same else jnp.concatenate(resized)
            out[name] = jnp.clip(in_unit(x, frames.dtype), 0.0, 1.0)
        for name in chosen.keys() - films.keys():
            value = chosen[name]
            out[name] = resampled(value, self.kind_of(name, value), windows[0], jnp)
        return out

    def _resized(
        self,
        frames: Array,
        window: Window,
        extent: Array,
        largest: tuple[float, float],
    ) -> Array:
        rows, columns = (
            # Beyond the picture is its nearest pixel.
            Axis(
                jnp.clip(start + (jnp.arange(side) + 0.5) * step, 0.5, full - 0.5),
                step,
                0.0,
                full,
            )
            for start, step, side, full in zip(*window, extent, strict=True)
        )
        # As channels of one picture, for what is resized alike.
        length, height, width, channels = frames.shape
        planes = jnp.moveaxis(frames, 0, 2).reshape(height, width, -1)
        steps = largest[0] / window.sides[0], largest[1] / window.sides[1]
        out = resample(
            planes, rows, columns, method=self.interpolation, max_scale=steps
        )
        return jnp.moveaxis(out.reshape(*out.shape[:2], length, channels), 2, 0)

    def kind_of(self, name: str, value: Array) -> Field:
        """The description of a field of a view."""
        known = (self.fields or {}).get(name) if name in self.carried else None
        if known is not None:
            return replace(known, shape=value.shape)
        kind: Any = "frames" if name.endswith("frames") else "matrix"
        return Field(kind, value.shape, jnp.dtype("float32"))


def films_of(chosen: Mapping[str, Array]) -> Frames:
    """Those of some fields that are frames, by their names."""
    names = ("frames", "left_frames", "right_frames")
    return {name: chosen[name] for name in names if name in chosen}
