"""Films of textured rooms and boxes seen by a moving camera, or by a stereo pair.

For methods that learn depth, motion, flow or scene flow without labels, and for tests
of them: everything that they predict is known exactly. Colours are those of photographs
whose size on walls and boxes is nearly the same in all scenes, and boxes stand on a
floor below the camera, so that one picture says something about depth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, Field, Fields
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.planes import homographies, picture
from jax_ssl.data.scenes import (
    CLASSES,
    Scene,
    Settings,
    Triple,
    labels_of,
    motions_to,
    scene_of,
)
from jax_ssl.data.source import Rows, Source
from jax_ssl.data.synthetic import SPLITS
from jax_ssl.data.textures import TextureName, textures

# How far to the right their camera stands, in baselines.
_FRAMES = {"frames": 0, "left_frames": 0, "right_frames": 1}


@dataclass(frozen=True, eq=False)
class Scenes(Source):
    """Films that are rendered when they are read; made by `synthetic_scenes`."""

    settings: Settings

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        examples = [_example(self.settings, row, self.fields) for row in rows.tolist()]
        return {
            name: np.stack([each[name] for each in examples]).astype(field.dtype)
            if examples
            else np.zeros((0, *field.shape), field.dtype)
            for name, field in self.fields.items()
            if field.kind != "index"
        }

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        yield repr(self.settings).encode()
        for values in self[np.array([0])].values():
            yield values.tobytes()

    def stored(self, row: int) -> bytes:  # noqa: D102
        del row  # The settings and the first row, which are listed, say it all.
        return b""


def synthetic_scenes(
    *,
    num_examples: int = 128,
    size: tuple[int, int] = (64, 96),
    num_frames: int = 3,
    stereo: bool = False,
    baseline: float = 0.54,
    min_translation: Triple = (-0.1, -0.05, 0.1),
    max_translation: Triple = (0.1, 0.05, 0.4),
    max_rotation: Triple = (0.5, 1.0, 0.5),
    num_boxes: int = 4,
    moving_boxes: int = 0,
    box_speed: float = 0.2,
    box_motion: Literal["own", "camera"] = "own",
    snippets: int = 1,
    texture: TextureName = "photographs",
    supersampling: int = 2,
    channels: int = 3,
    split: str = "train",
    seed: int = 0,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """Films of a room with boxes; each row is rendered when it is read.

    Row i is a function of (seed, split, i) and the settings of the scene, and does not
    depend on num_examples. Labels belong to the target frame, number (T - 1) // 2, of
    the left or only camera, at the centres of its pixels, and hold for every pixel.

    Args:
        num_examples: N.
        size: (H, W) of the frames; W is also the focal length, in pixels.
        num_frames: T.
        stereo: whether there are two cameras side by side.
        baseline: from the left to the right camera, in metres.
        min_translation: of the camera from a frame to the next, in metres to its right,
            down and forwards, each uniform between this and
        max_translation: the largest.
        max_rotation: between frames, degrees about the same three axes, each uniform in
            both directions up to this.
        num_boxes: on the floor.
        moving_boxes: how many of them move.
        box_speed: of these, metres from a frame to the next, over the floor.
        box_motion: "own", in a direction of their own; or "camera", carried along by
            the camera, so that they never move in the picture.
        snippets: rows that are cut out of one film, each beginning a frame later than
            the one before it. They are of the same "sequence".
        texture: "photographs" of scikit-learn, or "noise".
        supersampling: k; a frame's pixel is the mean of k x k places in it.
        channels: 3, or 1 for grey.
        split: "train", "validation" or "test", whose scenes differ.
        seed: of the scenes.
        cache_gib: rendered rows are kept in memory where all of them fit in this.

    Returns:
        Source of "frames" [T, H, W, C] uint8 and "intrinsics" [3, 3], or with two
        cameras "left_frames", "right_frames", and "left_camera" and "right_camera"
        [3, 4], both from the left camera's coordinates; and of
        "depth" [H, W] in metres;
        "poses" [T, 3, 4] from camera i to camera 0, in metres;
        "mask" [H, W], classes of `CLASSES`;
        "sequence" [] int32, the number of the film;
        with a next frame "flow" [H, W, 3] to it in pixels, known wherever the point is
        before the next camera, in its picture or not, and "occlusion" [H, W], 1 where
        the point is outside of the next picture or hidden in it;
        with two cameras "disparity" [H, W] in pixels and, with a next frame,
        "disparity_next" [H, W], that of the same point in the next frame, or 0 where it
        is not before that camera.

    Raises:
        ValueError: for a setting outside its range, or a camera that turns too far.
    """
    checks.at_least(1, num_examples=num_examples, num_frames=num_frames)
    checks.at_least(1, snippets=snippets, supersampling=supersampling)
    checks.at_least(8, size=size)
    checks.at_least(0, num_boxes=num_boxes, box_speed=box_speed)
    checks.at_least(0, max_rotation=max_rotation)
    checks.positive(baseline=baseline)
    checks.within(f"[0, {num_boxes}]", moving_boxes=moving_boxes)
    checks.one_of(("own", "camera"), box_motion=box_motion)
    checks.one_of(("photographs", "noise"), texture=texture)
    checks.one_of((1, 3), channels=channels)
    checks.one_of(SPLITS, split=split)
    for low, high in zip(min_translation, max_translation, strict=True):
        checks.within("(-inf, inf)", min_translation=low, max_translation=high)
        checks.rising(min_translation=low, max_translation=high)
    steps = num_frames + snippets - 2
    if steps * max(max_rotation) > 45:
        raise ValueError(
            f"max_rotation = {max_rotation} in {steps} steps may turn the camera away "
            "from the room; the product must be at most 45 degrees."
        )
    settings = Settings(
        size=(size[0], size[1]),
        num_frames=num_frames,
        stereo=stereo,
        baseline=baseline,
        min_translation=min_translation,
        max_translation=max_translation,
        max_rotation=max_rotation,
        num_boxes=num_boxes,
        moving_boxes=moving_boxes,
        box_speed=box_speed,
        box_motion=box_motion,
        snippets=snippets,
        texture=texture,
        supersampling=supersampling,
        channels=channels,
        split=split,
        seed=seed,
    )
    name = f"synthetic_scenes {split}"
    source = Scenes(name, _fields(settings), num_examples, settings=settings)
    return cached(source, cache_gib)


def _fields(settings: Settings) -> Fields:
    height, width = settings.size
    frames = (settings.num_frames, height, width, settings.channels)
    floats, bytes_ = np.dtype("float32"), np.dtype("uint8")
    plane = (height, width)
    fields = {
        "depth": Field("depth", plane, floats),
        "poses": Field("poses", (settings.num_frames, 3, 4), floats),
        "mask": Field("mask", plane, bytes_, CLASSES),
        "sequence": Field("label", (), np.dtype("int32")),
    }
    if settings.num_frames > 1:
        fields["flow"] = Field("flow", (*plane, 3), floats)
        fields["occlusion"] = Field("mask", plane, bytes_)
    if not settings.stereo:
        fields["frames"] = Field("frames", frames, bytes_)
        fields["intrinsics"] = Field("matrix", (3, 3), floats)
        return {**fields, "index": INDEX}
    for side in ("left", "right"):
        fields[f"{side}_frames"] = Field("frames", frames, bytes_)
        fields[f"{side}_camera"] = Field("matrix", (3, 4), floats)
    fields["disparity"] = Field("disparity", plane, floats)
    if settings.num_frames > 1:
        fields["disparity_next"] = Field("disparity", plane, floats)
    return {**fields, "index": INDEX}


def _example(settings: Settings, row: int, fields: Fields) -> dict[str, Any]:
    """The asked-for fields of one row; frames only where they are asked for."""
    film, first = divmod(row, settings.snippets)
    scene, camera = scene_of(settings, film), settings.intrinsics
    shown = range(first, first + settings.num_frames)
    right = np.concatenate([camera, camera @ [[-settings.baseline], [0], [0]]], axis=1)
    back = np.linalg.inv(scene.cameras[first])
    example: dict[str, Any] = {
        "sequence": np.array(film),
        "poses": (back @ scene.cameras[shown])[:, :3],
        "intrinsics": camera,
        "left_camera": np.concatenate([camera, np.zeros((3, 1))], axis=1),
        "right_camera": right,
    }
    if fields.keys() - example.keys() - _FRAMES.keys() - {"index"}:
        target = first + (settings.num_frames - 1) // 2
        example |= labels_of(settings, scene, target)
    for name, eyes in _FRAMES.items():
        if name in fields:
            shift = eyes * settings.baseline
            frames = [_frame(settings, scene, t, shift) for t in shown]
            example[name] = np.stack(frames)
    return example


def _frame(settings: Settings, scene: Scene, t: int, shift: float) -> np.ndarray:
    """[H, W, C] uint8 of a camera that stands `shift` metres to the right."""
    matrices = homographies(
        scene.planes, motions_to(scene, t, shift), settings.intrinsics
    )
    paint = textures(settings.texture)
    colours = picture(
        scene.planes, matrices, settings.size, paint, settings.supersampling
    )
    if settings.channels == 1:
        colours = colours @ np.array([[0.299], [0.587], [0.114]], np.float32)
    return np.rint(255 * np.clip(colours, 0, 1)).astype(np.uint8)
