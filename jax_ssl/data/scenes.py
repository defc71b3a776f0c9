"""Rooms with boxes on the floor and cameras on their way through them, drawn at random.

Lengths are in metres. The room's floor is at y = 0, y pointing down as in cameras.
"""

import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jax_ssl.data.motions import placed, turned
from jax_ssl.data.planes import Planes, cast, homographies
from jax_ssl.data.textures import SIDES, TextureName

CLASSES = ("room", "box", "moving box")
Triple = tuple[float, float, float]

_NEAREST = 0.1  # From here on a point is before a camera.


@dataclass(frozen=True)
class Settings:
    """What `synthetic_scenes` was given, of the scenes."""

    size: tuple[int, int]
    num_frames: int
    stereo: bool
    baseline: float
    min_translation: Triple
    max_translation: Triple
    max_rotation: Triple
    num_boxes: int
    moving_boxes: int
    box_speed: float
    box_motion: str
    snippets: int
    texture: TextureName
    supersampling: int
    channels: int
    split: str
    seed: int

    @property
    def intrinsics(self) -> np.ndarray:
        """[3, 3]; the focal length is the width of the picture."""
        height, width = self.size
        return np.array(
            [[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1.0]]
        )


class Scene(NamedTuple):
    """A film's scene, and where everything is at each of its L frames.

    Attributes:
        planes: in coordinates of their objects.
        cameras: [L, 4, 4] from the camera of a frame to the room.
        objects: [L, 1 + boxes, 4, 4] from an object to the room.
    """

    planes: Planes
    cameras: np.ndarray
    objects: np.ndarray


def scene_of(settings: Settings, film: int) -> Scene:
    """The scene of a film, drawn from its own stream of random numbers."""
    key = [settings.seed % 2**64, zlib.crc32(settings.split.encode())]
    stream = np.random.Philox(key=np.array(key, np.uint64), counter=[0, 0, film, 0])
    rng = np.random.Generator(stream)
    cameras = _path(settings, rng)
    parts = _room(rng, cameras)
    boxes = [_box(rng, cameras) for _ in range(settings.num_boxes)]
    objects = np.tile(np.eye(4), (len(cameras), 1 + settings.num_boxes, 1, 1))
    for number, (place, faces) in enumerate(boxes, start=1):
        heading, spin = rng.uniform(-np.pi, np.pi), rng.uniform(-0.05, 0.05)
        step = settings.box_speed * np.array([np.cos(heading), 0, np.sin(heading)])
        parts += [(face, extent, number) for face, extent in faces]
        for t in range(len(cameras)):
            at = place.copy()
            if number > settings.num_boxes - settings.moving_boxes:
                if settings.box_motion == "camera":
                    at = cameras[t] @ np.linalg.inv(cameras[0]) @ place
                else:
                    at[:3, :3] = turned(0, t * spin, 0) @ place[:3, :3]
                    at[:3, 3] += t * step
            objects[t, number] = at
    frames, extents, owners = zip(*parts, strict=True)
    count, numbers = len(parts), np.array(owners)
    angles = rng.uniform(-np.pi, np.pi, count)
    # Texels to a metre; boxes are painted finer than walls.
    fine = np.where(numbers > 0, 200, 100) * rng.uniform(0.9, 1.1, count)
    rotated = np.stack([turned(0, 0, angle)[:2] for angle in angles])
    rotated[..., :2] *= fine[:, None, None]
    rotated[..., 2] = rng.uniform(0, SIDES[::-1], (count, 2))
    planes = Planes(
        frames=np.stack(frames),
        extents=np.array(extents),
        objects=numbers,
        paints=rng.integers(2, size=count),
        texels=rotated,
        tints=rng.uniform(0.6, 1, (count, 3)).astype(np.float32),
    )
    return Scene(planes, cameras, objects)


def motions_to(scene: Scene, t: int, shift: float = 0.0) -> np.ndarray:
    """[objects, 4, 4] from objects to a camera at frame t."""
    motions = np.linalg.inv(scene.cameras[t]) @ scene.objects[t]
    motions[:, 0, 3] -= shift
    return motions


def labels_of(settings: Settings, scene: Scene, t: int) -> dict[str, np.ndarray]:
    """Everything about what the left camera sees at frame t."""
    height, width = settings.size
    camera, planes = settings.intrinsics, scene.planes
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    now = motions_to(scene, t)
    seen = cast(planes, homographies(planes, now, camera), x, y)
    depth = 1 / seen.nearness
    objects = planes.objects[seen.plane]
    moving = objects > settings.num_boxes - settings.moving_boxes
    parallax = width * settings.baseline
    labels = {
        "depth": depth,
        "disparity": parallax / depth,
        "mask": (objects > 0).astype(np.uint8) + moving,
    }
    if settings.num_frames == 1:
        return labels
    after = motions_to(scene, t + 1)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera).T
    motions = (after @ np.linalg.inv(now))[objects, :3]
    points = np.einsum("hwij,hwj->hwi", motions[..., :3], depth[..., None] * rays)
    points += motions[..., 3]
    points = points @ camera.T
    before = points[..., 2] > _NEAREST
    there = np.where(before, points[..., 2], 1.0)
    x_next, y_next = points[..., 0] / there, points[..., 1] / there
    front = cast(planes, homographies(planes, after, camera), x_next, y_next)
    inside = (abs(x_next - (width - 1) / 2) <= width / 2) & before
    inside &= abs(y_next - (height - 1) / 2) <= height / 2
    hidden = front.nearness * there > 1 + 1e-6
    flow = np.stack([x_next - x, y_next - y, np.ones_like(x)], -1)
    return labels | {
        "flow": flow * before[..., None],
        "occlusion": (~inside | hidden).astype(np.uint8),
        "disparity_next": parallax / there * before,
    }


def _path(settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """[L, 4, 4] from the cameras of a film to the room, whose floor is at y = 0."""
    length = settings.num_frames + settings.snippets - 1
    tilt = np.radians(rng.uniform(-2, 2, 3))
    at = placed(turned(*tilt), (0, -rng.uniform(1.4, 1.6), 0))
    cameras = [at]
    for _ in range(length - 1):
        step = rng.uniform(settings.min_translation, settings.max_translation)
        angles = np.radians(settings.max_rotation) * rng.uniform(-1, 1, 3)
        at = at @ placed(turned(*angles), step)
        cameras.append(at)
    return np.stack(cameras)


def _room(rng: np.random.Generator, cameras: np.ndarray) -> list[Any]:
    """The floor, a wall at the far end and one on either side: (frame, extent, 0)."""
    left, right = cameras[:, 0, 3].min(), cameras[:, 0, 3].max()
    far = cameras[:, 2, 3].max() + rng.uniform(8, 12)
    yaw = np.radians(rng.uniform(-20, 20))
    # Normals are the third columns: up, towards the camera, and inwards.
    walls = [
        (turned(np.pi / 2, 0, 0), (0, 0, 0)),
        (turned(0, np.pi + yaw, 0), (0, 0, far)),
        (turned(0, np.pi / 2, 0), (left - rng.uniform(2.5, 5), 0, 0)),
        (turned(0, -np.pi / 2, 0), (right + rng.uniform(2.5, 5), 0, 0)),
    ]
    endless = (np.inf, np.inf)
    return [(placed(turn, at)[:3], endless, 0) for turn, at in walls]


def _box(rng: np.random.Generator, cameras: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Where a box stands, [4, 4], and its faces' frames [3, 4] and extents."""
    half = rng.uniform(0.3, 0.9, 3)
    reach = np.hypot(half[0], half[2])
    path = cameras[:, :3, 3]
    end = path[:, 2].max()
    z = rng.uniform(reach + 1.5, end + 8)
    side = rng.uniform(-0.5, 0.5)
    x = path[-1, 0] + side * max(z - end / 2, 3)
    if z - reach - 1.5 < end:  # Beside the camera's way, never on it.
        clear = reach + 0.5
        x = path[:, 0].max() + clear if side > 0 else path[:, 0].min() - clear
    place = placed(turned(0, rng.uniform(-np.pi, np.pi), 0), (x, -half[1], z))
    faces = []
    for axis, sign in ((0, 1), (0, -1), (1, -1), (2, 1), (2, -1)):  # Not the bottom.
        normal = np.zeros(3)
        normal[axis] = sign
        one, other = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
        frame = np.stack([one, other, normal, normal * half[axis]], axis=1)
        faces.append((frame, (half[(axis + 1) % 3], half[(axis + 2) % 3])))
    return place, faces
