"""One key for a video [T, H, W, C]: all of its frames share what is drawn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import affine, channels, erase, noise, randaugment, tones
from jax_ssl.augment.steps import Blur, ColorJitter, Grayscale, Solarize
from jax_ssl.ops import levels
from jax_ssl.ops.platforms import looping

ALWAYS = {"probability": 1.0}
jitter = ColorJitter(**ALWAYS)
always = functools.partial(randaugment.random_operation, **ALWAYS)
OPERATIONS = {
    "jitter": jitter,
    "grayscale": Grayscale(**ALWAYS),
    "solarize": Solarize(**ALWAYS),
    "blur": Blur(kernel_share=0.3, **ALWAYS),
    "pillow blur": Blur(kernel="pillow", **ALWAYS),
    "affine": functools.partial(affine.random_affine, degrees=20.0, translate=0.1),
    "rotation": functools.partial(affine.random_rotation, degrees=20.0),
    "photometric": functools.partial(tones.random_photometric, **ALWAYS),
    "equalize": functools.partial(tones.sometimes, operation=levels.equalize, **ALWAYS),
    "rand_augment": randaugment.RandAugment(
        num_ops=1, draw=always, interpolation="nearest"
    ),
    "erasing": erase.RandomErasing(fill=0.0, **ALWAYS),
    "cutout": functools.partial(erase.cutout, size=4),
    "dropped channels": channels.drop_channels,
    "shifted channels": channels.jitter_channels,
}


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    return rng.random((2, 18, 17, 3)).astype(np.float32)


@pytest.mark.parametrize("name", OPERATIONS)
def test_frames_share_the_parameters(frames, name):
    operation = OPERATIONS[name]
    key = jax.random.key(3)

    @jax.jit
    def both(key, frames):
        whole, last = operation(key, frames), operation(key, frames[-1])
        with looping(True):
            return whole, last, operation(key, frames)

    whole, last, looped = both(key, frames)
    np.testing.assert_allclose(whole[-1], last, atol=2e-6)
    np.testing.assert_allclose(whole, looped, atol=2e-6)
    assert whole.shape != frames.shape or np.abs(whole - frames).max() > 0.01


def test_every_frame_has_noise_of_its_own(frames):
    black = jnp.zeros_like(frames)
    out = np.asarray(noise.gaussian_noise(jax.random.key(0), black, std=1.0))
    assert np.abs(out[0] - out[1]).min() > 0


def test_one_key_a_video_and_not_a_frame(frames):
    """Mapped over videos, each has its own draw and its frames share it."""
    videos = np.broadcast_to(frames[:1], (8, 2, *frames.shape[1:]))
    keys = jax.random.split(jax.random.key(1), 8)
    out = np.asarray(jax.jit(jax.vmap(jitter))(keys, videos))
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    assert (np.abs(out[1:, 0] - out[:1, 0]).max((1, 2, 3)) > 0.01).all()
