"""Depth is learned: held-out rooms are told better than by what knows no picture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.augment.films import film, whole_film
from jax_ssl.data.synthetic_scenes import synthetic_scenes
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.train.step import init, train_step

SIZE = (32, 48)
BATCH = 8
MOMENTS = {"mean": (0.45,), "std": (0.225,)}
# Encoder and settings of a method, cameras, learning rate and steps.
LEARNERS = {
    "monodepth": (
        {"name": "monodepth_vgg", "widths": (16, 32, 48, 64), "kernels": (5,)},
        {"decoder_widths": (48, 32, 24, 16), "num_scales": 3},
        True,
        1e-3,
        300,
    ),
    "monodepth2": (
        {"name": "convnet", "widths": (16, 32, 48, 64)},
        {"decoder_widths": (48, 32, 16), "num_scales": 2, "pose_width": 48},
        False,
        1e-3,
        500,
    ),
}


def rooms(split, count, stereo):
    """Rows of rendered rooms, as arrays."""
    source = synthetic_scenes(
        num_examples=count,
        size=SIZE,
        split=split,
        stereo=stereo,
        num_frames=1 if stereo else 3,
        min_translation=(-0.2, -0.1, 0.2),
        max_translation=(0.2, 0.1, 0.6),
    )
    rows = source[np.arange(count)]
    seen = ("frames", "intrinsics", "left_frames", "right_frames")
    seen += ("left_camera", "right_camera")
    shown = {name: jnp.asarray(rows[name]) for name in seen if name in rows}
    return shown, rows["depth"]


def relative_error(found, true):
    """The mean of |found - true| / true after the medians are made equal."""
    middle = functools.partial(np.median, axis=(1, 2), keepdims=True)
    found = found * middle(true) / middle(found)
    return float((np.abs(found - true) / true).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_held_out_rooms_are_told(name):
    encoder, settings, stereo, rate, steps = LEARNERS[name]
    encoder = dict(encoder)
    shown, _ = rooms("train", 192, stereo)
    held_out, true = rooms("test", 48, stereo)
    encoder = ENCODERS[encoder.pop("name")](**encoder)
    method = METHODS[name](encoder, film(strength=0.0, **MOMENTS), **settings)
    rates = optax.piecewise_constant_schedule(rate, {3 * steps // 4: 0.2})
    tx = optax.adam(rates)
    train = jax.jit(functools.partial(init, method, tx))(
        jax.random.key(0), {n: x[:BATCH] for n, x in shown.items()}
    )

    @jax.jit
    def step(train, rows, shown):
        return train_step(method, tx, train, {n: x[rows] for n, x in shown.items()})

    @jax.jit
    def said(train):
        view = whole_film(**MOMENTS)
        seen = jax.vmap(view, (None, 0))(jax.random.key(0), held_out)
        return method.predicts["depth"](train.params, train.state, seen)

    rng = np.random.default_rng(0)
    untrained = relative_error(np.asarray(said(train)), true)
    constant = relative_error(np.ones_like(true), true)
    for s in range(steps):
        rows = rng.choice(len(next(iter(shown.values()))), BATCH, replace=False)
        train, metrics = step(train, jnp.asarray(rows), shown)
        if s % 50 == 49:
            error = relative_error(np.asarray(said(train)), true)
            told = {n: round(float(x), 4) for n, x in metrics.items()}
            print(s + 1, f"{error:.3f} of {constant:.3f}, {untrained:.3f}", told)
    assert error < 0.75 * min(constant, untrained)
