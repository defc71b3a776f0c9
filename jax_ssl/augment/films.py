"""Views of films that keep the geometry of their cameras, of one camera or of two.

What a view shows of a frame is a window of it, mirrored or not, and the matrices of the
cameras follow, so that depth, motion and disparity have the same meaning in every view.
Colours change in what networks read, and in the losses' frames only where a paper's do.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from jax_ssl.augment.crop import between, random_place
from jax_ssl.augment.geometry import mirror
from jax_ssl.augment.photometry import Pair, Tones
from jax_ssl.augment.pixels import check_moments, standardize
from jax_ssl.augment.recipe import in_turn
from jax_ssl.augment.steps import ColorJitter, Step
from jax_ssl.augment.windows import Cameras, Cut, Filter, Frames, Sides, films_of
from jax_ssl.core import checks
from jax_ssl.core.fields import Fields, Window
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example
from jax_ssl.ops.platforms import one_by_one


def with_inputs(shown: Frames, inputs: Frames) -> Frames:
    """A view of frames, and of the same names with "inputs" what networks read."""
    return shown | {
        name.replace("frames", "inputs"): value for name, value in inputs.items()
    }


def film(
    fields: Fields | None = None,
    *,
    size: tuple[int, int] | None = None,
    num_frames: int | None = None,
    gap: int = 1,
    cameras: Cameras = "both",
    window: tuple[int, int] | None = None,
    min_scale: float = 1.0,
    max_scale: float = 1.0,
    joint_scale: bool = False,
    min_relative_scale: float = 1.0,
    max_relative_scale: float = 1.0,
    interpolation: Filter = "bilinear",
    flip: float = 0.5,
    strength: float = 1.0,
    jitter: tuple[float, float, float, float] = (0.2, 0.2, 0.2, 0.1),
    jitter_probability: float = 0.5,
    tones_probability: float = 0.0,
    gamma: Pair = (0.8, 1.2),
    gain: Pair = (0.5, 2.0),
    colour: Pair = (0.8, 1.2),
    offset: float = 0.0,
    noise: float = 0.0,
    gamma_first: bool = True,
    shared: bool = True,
    in_losses: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    carried: tuple[str, ...] = (),
) -> ViewFn:
    """A film for training: a random window of all frames, mirrored, and its colours.

    The defaults are Monodepth2's (arXiv 1806.01260), but for its size. Operations come
    in the order of their settings.

    Args:
        fields: what the examples hold; only needed for `carried`.
        size: (h, w) of the view; None for that of the frames.
        num_frames: of the view; None for all. Of longer films they begin at a random
            moment.
        gap: frames from one to the next.
        cameras: "both", or "left" for a film of the left one of two.
        window: (height, width) in pixels of the frame that a view shows at scale 1, at
            a random place; None for the whole frame.
        min_scale: smallest factor by which the picture is enlarged, the window being as
            much smaller. Where a window is larger than the frame, the nearest pixels
            fill it.
        max_scale: largest.
        joint_scale: whether height and width have the same factor.
        min_relative_scale: smallest further factor of the frames after the target,
            about the middle of the window. The cameras do not follow it.
        max_relative_scale: largest.
        interpolation: antialiased filter of the resize.
        flip: probability of a mirror image, in which two cameras are exchanged.
        strength: multiplies `jitter`.
        jitter: brightness, contrast, saturation, hue at strength 1.
        jitter_probability: that colours are jittered.
        tones_probability: that tones change as the next six settings say, see
            `photometry.Tones`.
        gamma: smallest and largest.
        gain: smallest and largest factor of all channels.
        colour: smallest and largest factor of each channel.
        offset: standard deviation of a number that is added to all channels.
        noise: standard deviation of a number that is added at the end.
        gamma_first: before the factors, rather than after them.
        shared: whether all frames of all cameras have the same colours, or each its
            own.
        in_losses: whether the losses' frames have them too.
        mean: per channel, subtracted of the inputs.
        std: per channel, divided by.
        carried: further fields that follow the window, such as "depth"; then the frames
            are those around the target, to which labels belong.

    Returns:
        float32 views of an example's "frames" [T, H, W, C]: {"frames" [T, h, w, C] in
        [0, 1] for losses, "inputs" [T, h, w, C] for networks, "intrinsics" [3, 3] where
        the example has them}. Of two cameras {"left_frames", "right_frames",
        "left_inputs", "right_inputs", "left_camera" [3, 4], "right_camera"}.

    Raises:
        ValueError: if a setting is out of its range, or films are too short.
    """
    ranges = {
        "scale": (min_scale, max_scale),
        "relative_scale": (min_relative_scale, max_relative_scale),
    }
    for name, (low, high) in ranges.items():
        checks.positive(**{f"min_{name}": low, f"max_{name}": high})
        checks.rising(**{f"min_{name}": low, f"max_{name}": high})
    checks.at_least(1, window=window)
    checks.within("[0, 1]", flip=flip)
    check_moments(mean, std)
    cut = Cut(
        recipe="film",
        size=size,
        num_frames=num_frames,
        gap=gap,
        cameras=cameras,
        interpolation=interpolation,
        carried=carried,
        fields=fields,
    )
    follows = ranges["relative_scale"] == (1.0, 1.0)
    if carried and not follows:
        raise ValueError(
            f"min_relative_scale = {min_relative_scale} and max_relative_scale = "
            f"{max_relative_scale} move frames away from what carried = {carried} says "
            "of them; give 1 for both, or carry nothing."
        )
    both: tuple[Step, ...] = (
        ColorJitter(amounts=jitter, strength=strength, probability=jitter_probability),
        Tones(
            probability=tones_probability,
            gamma=gamma,
            gain=gain,
            colour=colour,
            offset=offset,
            noise=noise,
            gamma_first=gamma_first,
        ),
    )
    steps = tuple(step for step in both if step.active)

    def windows(uniform: Array, extent: Array, sides: Sides) -> tuple[Window, Window]:
        scale = between(ranges["scale"], uniform[:2])
        scale = scale[:1] if joint_scale else scale
        base = extent if window is None else jnp.array(window, jnp.float32)
        cut_out = base / scale
        start = uniform[2:4] * (extent - cut_out)
        first = Window((start[0], start[1]), tuple(cut_out / jnp.array(sides)), sides)
        if follows:
            return first, first
        seen = cut_out / between(ranges["relative_scale"], uniform[4])
        start = start + (cut_out - seen) / 2
        step = seen / jnp.array(sides)
        return first, Window((start[0], start[1]), (step[0], step[1]), sides)

    def coloured(key: Array, films: Frames) -> Frames:
        if not steps:
            return films
        stack = jnp.stack([*films.values()])
        if shared:
            stack = in_turn(steps, jax.random.split(key, len(steps)), stack)
        else:
            keys = jax.random.split(key, (*stack.shape[:2], len(steps)))
            stack = jax.vmap(jax.vmap(partial(in_turn, steps)))(keys, stack)
        return dict(zip(films, stack, strict=True))

    @one_by_one
    def made(key: Array, chosen: Frames, extent: Array | None) -> Frames:
        place_key, colour_key = jax.random.split(key)
        uniform = jax.random.uniform(place_key, (7,))
        length, height, width, _ = next(iter(films_of(chosen).values())).shape
        full = height, width
        filled = jnp.array(full if extent is None else extent, jnp.float32)
        if carried:
            start: int | Array = cut.around_target(length)
        else:
            places = length - cut.span(length)
            start = random_place(uniform[5], places - 1).astype(jnp.int32)
        seen = windows(uniform, filled, cut.sides(chosen))
        smallest, most = min_scale * min_relative_scale, window or full
        largest = most[0] / smallest, most[1] / smallest
        shown = cut.shown(chosen, start, seen, filled, largest)
        kinds = {name: cut.kind_of(name, value) for name, value in shown.items()}
        if flip > 0:
            shown = mirror(shown, kinds, uniform[6] < flip)
        colours = coloured(colour_key, films_of(shown))
        inputs = {k: standardize(x, mean, std) for k, x in colours.items()}
        return with_inputs(shown | colours if in_losses else shown, inputs)

    def view(key: Array, example: Example) -> Frames:
        off = [step.off for step in steps if step.off]
        chosen = cut.chosen(example, off)
        cut.check(chosen, around_target=bool(carried))
        return made(key, chosen, example.get("size"))

    return view


def whole_film(
    fields: Fields | None = None,
    *,
    size: tuple[int, int] | None = None,
    num_frames: int | None = None,
    gap: int = 1,
    cameras: Cameras = "both",
    interpolation: Filter = "bilinear",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    carried: tuple[str, ...] = (),
) -> ViewFn:
    """The evaluation view of films: whole frames around the target, for every key.

    Args:
        fields: what the examples hold; only needed for `carried`.
        size: (h, w) of the view; None for that of the frames.
        num_frames: of the view, the target of the labels being its number
            (num_frames - 1) // 2; None for all.
        gap: frames from one to the next.
        cameras: "both", or "left" for a film of the left one of two.
        interpolation: antialiased filter of the resize.
        mean: per channel, subtracted of the inputs.
        std: per channel, divided by.
        carried: further fields that are resized alike, such as "depth".

    Returns:
        What `film` makes, and "image" [h, w, C], the target frame of the left or only
        camera as networks read it.

    Raises:
        ValueError: if a setting is out of its range, or films are too short.
    """
    check_moments(mean, std)
    cut = Cut(
        recipe="whole_film",
        size=size,
        num_frames=num_frames,
        gap=gap,
        cameras=cameras,
        interpolation=interpolation,
        carried=carried,
        fields=fields,
    )

    @one_by_one
    def made(chosen: Frames, extent: Array | None) -> Frames:
        length, height, width, _ = next(iter(films_of(chosen).values())).shape
        full = height, width
        filled = jnp.array(full if extent is None else extent, jnp.float32)
        sides = cut.sides(chosen)
        step = filled / jnp.array(sides)
        window = Window((0.0, 0.0), (step[0], step[1]), sides)
        start = cut.around_target(length)
        shown = cut.shown(chosen, start, (window, window), filled, full)
        inputs = {k: standardize(x, mean, std) for k, x in films_of(shown).items()}
        first = next(iter(inputs.values()))
        view = with_inputs(shown, inputs)
        return view | {"image": first[(len(first) - 1) // 2]}

    def view(key: Array, example: Example) -> Frames:
        del key
        chosen = cut.chosen(example)
        cut.check(chosen, around_target=True)
        return made(chosen, example.get("size"))

    return view


# The views of papers: settings of `film`.
FILMS: Mapping[str, Callable[..., ViewFn]] = {
    "film": film,
    "whole_film": whole_film,
    # SfMLearner (arXiv 1704.07813, released code): no mirror images, no colours.
    "sfmlearner": partial(
        film,
        size=(128, 416),
        num_frames=3,
        max_scale=1.15,
        flip=0.0,
        strength=0.0,
        mean=(0.5,),
        std=(0.5,),
    ),
    # Monodepth (arXiv 1609.03677, released code).
    "monodepth": partial(
        film,
        size=(256, 512),
        num_frames=1,
        strength=0.0,
        tones_probability=0.5,
        in_losses=True,
    ),
    # Monodepth2 (arXiv 1806.01260, released code).
    "monodepth2": partial(
        film, size=(192, 640), num_frames=3, mean=(0.45,), std=(0.225,)
    ),
    # UnFlow (arXiv 1711.07837, released code), whose "contrast" is the gain here.
    "unflow": partial(
        film,
        size=(320, 1152),
        window=(320, 1152),
        num_frames=2,
        min_scale=0.9,
        max_scale=1.1,
        joint_scale=True,
        min_relative_scale=0.9,
        max_relative_scale=1.1,
        strength=0.0,
        tones_probability=1.0,
        gamma=(0.7, 1.5),
        gain=(0.7, 1.3),
        colour=(0.9, 1.1),
        offset=0.02,
        noise=0.04,
        gamma_first=False,
    ),
    # Self-Mono-SF (arXiv 2004.04143, released code).
    "self_mono_sf": partial(
        film,
        size=(256, 832),
        window=(370, 1224),
        num_frames=2,
        max_scale=1 / 0.93,
        joint_scale=True,
        strength=0.0,
        tones_probability=0.5,
        in_losses=True,
    ),
}
