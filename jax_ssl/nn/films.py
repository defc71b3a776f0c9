"""What methods of depth and motion read of views: films of one camera or of two."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jax_ssl.core.types import Array, Views
from jax_ssl.ops.cameras import baseline_of, compose, intrinsics_of, inverse, motion_of

ONE = ("frames", "inputs", "intrinsics")
TWO = tuple(
    f"{side}_{what}" for side in ("left", "right") for what in (*ONE[:2], "camera")
)


class Film(NamedTuple):
    """Frames of one camera.

    Attributes:
        frames: [B, T, h, w, C] in [0, 1], for the losses.
        inputs: the same as networks read them.
        intrinsics: [B, 3, 3], in pixels of the frames.
    """

    frames: Array
    inputs: Array
    intrinsics: Array

    @property
    def target(self) -> int:
        """Number of the frame of which something is predicted."""
        return target_of(self.frames.shape[1])

    @property
    def sources(self) -> list[int]:
        """Numbers of the others, in the order of time."""
        return [i for i in range(self.frames.shape[1]) if i != self.target]


class Pair(NamedTuple):
    """Two rectified cameras that film at the same times.

    What reads them takes the principal points as one: where c_x of the right camera is
    larger by `shift`, as in `stereo_folders`, disparities are right and depths are
    f b / d, which is not f b / (d + shift).

    Attributes:
        left: of the left camera.
        right: of the right one.
        baseline: [B], how far apart they are, in metres.
    """

    left: Film
    right: Film
    baseline: Array

    @property
    def motion(self) -> Array:
        """Coordinates of the left camera to those of the right one, [B, 3, 4]."""
        zero = jnp.zeros_like(self.baseline)
        offset = jnp.stack([-self.baseline, zero, zero], axis=-1)
        return motion_of(jnp.broadcast_to(jnp.eye(3), (len(zero), 3, 3)), offset)


def target_of(num_frames: int) -> int:
    """Number of a film's target frame, the middle one, or that before the middle."""
    return (num_frames - 1) // 2


def film(views: Views, least: int = 1) -> Film:
    """The film of the only camera, or of the left one.

    Args:
        views: of the method.
        least: frames that it must have.

    Raises:
        ValueError: if the views are something else, or too short.
    """
    if two_cameras(views):
        found = pair(views).left
    elif _has(views, ONE):
        found = Film(*(views[name] for name in ONE))
    else:
        raise _other(views, "a film and its camera", ONE)
    return _long(found, least)


def pair(views: Views, least: int = 1) -> Pair:
    """The films of two cameras.

    Args:
        views: of the method.
        least: frames that each must have.

    Raises:
        ValueError: if the views are something else, or too short.
    """
    if not two_cameras(views):
        raise _other(views, "films of two cameras", TWO)
    cameras = [views[f"{side}_camera"] for side in ("left", "right")]
    left, right = (
        Film(views[f"{side}_frames"], views[f"{side}_inputs"], intrinsics_of(camera))
        for side, camera in zip(("left", "right"), cameras, strict=True)
    )
    # In a mirror that leaves each camera what it is, left and right change places.
    return Pair(_long(left, least), right, jnp.abs(baseline_of(*cameras)))


def chained(steps: Array) -> Array:
    """Where the cameras of a film are, from the motions between its frames.

    Args:
        steps: [B, T - 1, 3, 4], from each frame's coordinates to the next one's.

    Returns:
        [B, T, 3, 4] from each camera's coordinates to those of the first.
    """
    poses = [jnp.broadcast_to(jnp.eye(3, 4), steps[:, 0].shape)]
    for i in range(steps.shape[1]):
        poses.append(compose(poses[-1], inverse(steps[:, i])))
    return jnp.stack(poses, axis=1)


def scaled(motions: Array, factor: Array) -> Array:
    """Motions [B, T, 3, 4] with translations in another unit, `factor` [B]."""
    return motions.at[..., 3].multiply(factor[:, None, None])


def two_cameras(views: Views) -> bool:
    """Whether the views hold the films of two cameras."""
    return _has(views, TWO)


def _has(views: Views, names: tuple[str, ...]) -> bool:
    return isinstance(views, Mapping) and all(name in views for name in names)


def _long(found: Film, least: int) -> Film:
    if found.frames.ndim != 5 or found.frames.shape[1] < least:
        raise ValueError(
            f"a film of {least} frames or more is read, [B, T, h, w, C], and the views "
            f"have frames {list(found.frames.shape)}; give config.views.num_frames = "
            f"{least} or more, and data of films that long."
        )
    return found


def _other(views: Views, what: str, names: tuple[str, ...]) -> ValueError:
    seen = sorted(views) if isinstance(views, Mapping) else list(views.shape)
    return ValueError(
        f"the views must be {what}, {{{', '.join(names)}}}, and are {seen}; choose a "
        "recipe of films, such as config.views.name = 'film', and data with the "
        "matrices of their cameras."
    )
