"""Networks of depth and motion that float64 can follow, and films for them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Features

ROWS, HEIGHT, WIDTH, FOCAL = 2, 8, 10, 9.0


def halved(x):
    return nn.avg_pool(x, (2, 2), (2, 2))


class Cells(nn.Module):
    """An encoder of two scales: a linear map of each pixel, and its means."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        fine = nn.Dense(2, name="cell")(x)
        grid = halved(fine)
        return Features(fine.mean((1, 2)), grid, (fine, grid))


class Maps(nn.Module):
    """A decoder that looks at each cell alone."""

    num_maps: int = 1
    scale: float = 1.0
    offset: float = 0.0

    @nn.compact
    def __call__(self, pyramid, *, train):
        del train
        raw = [
            nn.Dense(self.num_maps, name=f"map{i}")(x) for i, x in enumerate(pyramid)
        ]
        return tuple(self.offset + self.scale * nn.sigmoid(x) for x in raw)


class Motion(nn.Module):
    """The motion of a pair of frames."""

    @nn.compact
    def __call__(self, grid, *, train):
        del train
        return 0.3 * nn.Dense(6, name="motion")(grid.mean((1, 2)))


class Explained(nn.Module):
    """The motions of SfMLearner, and its masks of two scales."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        sources = x.shape[-1] - 1  # The frames are grey.
        motions = 0.3 * nn.Dense(6 * sources, name="motion")(x.mean((1, 2)))
        fine = nn.Dense(2 * sources, name="mask")(x)
        masks = [m.reshape(*m.shape[:3], sources, 2) for m in (fine, halved(fine))]
        return motions.reshape(len(x), sources, 6), tuple(masks)


def intrinsics():
    """[3, 3], the principal point in no pixel's centre."""
    return np.array([[FOCAL, 0, 4.3], [0, FOCAL - 1, 3.6], [0, 0, 1]])


def smooth(rng, *shape):
    """Frames [..., HEIGHT, WIDTH, 1] in [0, 1] that change slowly."""
    coarse = rng.uniform(size=(*shape, 4, 5, 1))
    return np.asarray(jax.image.resize(coarse, (*shape, HEIGHT, WIDTH, 1), "cubic"))


def one_camera(frames=3):
    """Makes films of one camera, as the comparisons read them."""

    def views(rng):
        film = smooth(rng, ROWS, frames)
        matrices = np.broadcast_to(intrinsics(), (ROWS, 3, 3))
        return {"frames": film, "inputs": film - 0.4, "intrinsics": matrices}

    return views


def two_cameras(frames=1, baseline=0.4):
    """Makes films of two."""

    def views(rng):
        left, right = smooth(rng, 2, ROWS, frames)
        found = {"left_frames": left, "right_frames": right}
        found |= {"left_inputs": left - 0.4, "right_inputs": right - 0.4}
        for side, offset in (("left", 0.0), ("right", -baseline)):
            camera = np.concatenate([intrinsics(), np.zeros((3, 1))], 1)
            camera[0, 3] = FOCAL * offset
            found[f"{side}_camera"] = np.broadcast_to(camera, (ROWS, 3, 4))
        return found

    return views


def film_of(images, camera=None):
    """Views of one camera of frames [T, H, W, C], as a batch of one."""
    film = jnp.asarray(images, jnp.float32)[None]
    k = intrinsics() if camera is None else camera
    matrix = jnp.asarray(k, jnp.float32)[None]
    return {"frames": film, "inputs": film, "intrinsics": matrix}
