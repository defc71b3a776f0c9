"""Films of a disc before a plane, frame by frame, with the disc's exact mask.

For tests and smoke runs of what follows objects through films, in the form of the
source `davis`.
"""

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.arrays import Arrays, arrays
from jax_ssl.data.synthetic import uniforms
from jax_ssl.data.synthetic_frames import PLANE, TEXTURES, film


def synthetic_tracks(
    *,
    num_films: int = 16,
    num_frames: int = 8,
    size: int = 32,
    translation: tuple[float, float, float] = (0.12, 0.04, 0.0),
    split: str = "train",
    seed: int = 0,
) -> Arrays:
    """Frames of the two planes of `synthetic_frames`, each an example of its own.

    Args:
        num_films: of as many textures in turn as there are.
        num_frames: T of each film.
        size: side of the square frames, in pixels; also the focal length.
        translation: of the camera from a frame to the next, in metres: to the right,
            down, and forwards; the nearer disc moves 2 times as fast as the plane.
        split: "train", "validation" or "test", whose films differ.
        seed: of the films.

    Returns:
        Source of "image" [size, size, 3] uint8, "mask" [size, size] uint8, 1 where the
        disc is, "sequence" and "frame", film after film.

    Raises:
        ValueError: for sizes outside these ranges, another split, or a camera that
            comes too near.
    """
    checks.at_least(8, size=size)
    checks.at_least(1, num_films=num_films, num_frames=num_frames)
    if (num_frames - 1) * translation[2] > 1:
        raise ValueError(
            f"the camera may come 1 metre nearer at most in {num_frames} frames: "
            f"translation = {translation}."
        )
    drawn = uniforms(split, seed, num_films, 1 + 2 * PLANE)
    # As many steps to each side of the middle, where the disc is drawn.
    places = (np.arange(num_frames) - (num_frames - 1) / 2)[:, None]
    # The flow, of the first two frames, is not looked at.
    moved = np.concatenate([places, places[-1:]]) * np.array(translation)
    made = [
        film(TEXTURES[i % len(TEXTURES)], u, size, 2, moved)
        for i, u in enumerate(drawn)
    ]
    images = np.concatenate([frames[:num_frames] for frames, *_ in made])
    masks = np.concatenate([seen[:num_frames] for _, seen, *_ in made])
    return arrays(
        {
            "image": np.rint(255 * images).astype(np.uint8),
            "mask": masks.astype(np.uint8),
            "sequence": np.repeat(np.arange(num_films), num_frames),
            "frame": np.tile(np.arange(num_frames), num_films),
        },
        {"sequence": "number", "frame": "number"},
        mask_names=("background", "disc"),
        name=f"synthetic_tracks {split}",
    )
