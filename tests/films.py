"""Views of the test images as short films of one camera or two."""

import jax
import jax.numpy as jnp

from tests.images import plain_views

HEIGHT, WIDTH = 16, 24  # Pixels of a frame.
FOCAL, BASELINE = 20.0, 0.2  # Pixels, and metres.


def enlarged(images):
    """Images [B, H, W, C] at the size of the frames, for an encoder to read."""
    return jax.image.resize(
        images, (len(images), HEIGHT, WIDTH, images.shape[-1]), "linear"
    )


def _strip(key, example, more):
    """A picture [HEIGHT, WIDTH + more, 3] in [0, 1], smooth, with a little noise."""
    image = plain_views(key, example)[0]
    wide = jax.image.resize(image, (HEIGHT, WIDTH + more, 3), "cubic")
    return jnp.clip(0.15 + 0.7 * wide, 0, 1)


def _intrinsics():
    return jnp.array(
        [[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1.0]]
    )


def film_of_one_camera(key, example, frames=3):
    """A picture that moves to the left by a pixel a frame, as the views make it."""
    strip = _strip(key, example, frames - 1)
    film = jnp.stack([strip[:, t : t + WIDTH] for t in range(frames)])
    return {"frames": film, "inputs": film - 0.5, "intrinsics": _intrinsics()}


def film_of_two_cameras(key, example, frames=2, disparity=2):
    """The same film of a left camera, and of a right one that sees it further left."""
    strip = _strip(key, example, frames - 1 + disparity)

    def seen(start):
        windows = [strip[:, start + t : start + t + WIDTH] for t in range(frames)]
        return jnp.stack(windows)

    left, right = seen(0), seen(disparity)
    camera = jnp.concatenate([_intrinsics(), jnp.zeros((3, 1))], axis=1)
    return {
        "left_frames": left,
        "right_frames": right,
        "left_inputs": left - 0.5,
        "right_inputs": right - 0.5,
        "left_camera": camera,
        "right_camera": camera.at[0, 3].set(-FOCAL * BASELINE),
    }
