"""Noise, and the treatment of single channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jax_ssl.augment import channels, noise
from tests import laws

KEY = jax.random.key(9)


def test_gaussian_noise_is_normal_with_its_standard_deviation():
    image = jnp.full((60, 50, 3), 0.5)
    added = np.asarray(noise.gaussian_noise(KEY, image, std=0.2) - image).ravel()
    assert stats.kstest(added, stats.norm(0, 0.2).cdf).pvalue > laws.LEVEL
    assert stats.kstest(added, stats.norm(0, 0.215).cdf).pvalue < laws.LEVEL


def test_masking_noise_loses_whole_pixels():
    out = np.asarray(noise.masking_noise(KEY, jnp.ones((80, 60, 3)), share=0.3))
    lost = out == 0
    assert (lost.all(-1) == lost.any(-1)).all()
    laws.has_probability(lost[..., 0], 0.3)


def test_salt_and_pepper_are_as_likely(rng):
    image = rng.uniform(0.1, 0.9, (80, 60, 3)).astype(np.float32)
    out = np.asarray(noise.salt_and_pepper(KEY, image, share=0.3))
    laws.has_probability((out == 0).all(-1), 0.15)
    laws.has_probability((out == 1).all(-1), 0.15)
    kept = (out != 0).all(-1) & (out != 1).all(-1)
    np.testing.assert_array_equal(out[kept], image[kept])


@pytest.mark.parametrize("keep", [1, 2])
def test_every_choice_of_channels_is_as_likely(keep):
    keys = jax.random.split(KEY, 6000)
    drop = jax.jit(
        jax.vmap(
            lambda key: channels.drop_channels(key, jnp.ones((1, 1, 3)), keep=keep)
        )
    )
    kept = np.asarray(drop(keys))[:, 0, 0].astype(int)
    assert set(kept.sum(1)) == {keep}
    odd_one = (kept if keep == 1 else 1 - kept).argmax(1)
    laws.is_spread_evenly(odd_one, 3)


def test_dropped_channels_become_noise_of_their_own():
    image = jnp.full((50, 40, 3), 3.0)
    out = np.asarray(channels.drop_channels(KEY, image, fill=0.2, noise=0.5))
    dropped = [c for c in range(3) if (out[..., c] != 3).all()]
    assert len(dropped) == 2
    for c in dropped:
        laws.follows_uniform(out[..., c].ravel(), -0.3, 0.7)
    assert np.corrcoef(*(out[..., c].ravel() for c in dropped))[0, 1] < 0.08


def test_channels_are_shifted_each_by_itself(rng):
    image = rng.random((9, 8, 3)).astype(np.float32)
    jitter = jax.jit(jax.vmap(lambda key: channels.jitter_channels(key, image)))
    out = np.asarray(jitter(jax.random.split(KEY, 3000)))
    assert out.shape == (3000, 5, 4, 3)
    places = np.stack(  # Every window of each channel, [5, 5, 5, 4, 3].
        [[image[i : i + 5, j : j + 4] for j in range(5)] for i in range(5)]
    )
    matches = (out[:, None, None] == places[None]).all((3, 4))  # [3000, 5, 5, 3]
    np.testing.assert_array_equal(matches.sum((1, 2)), 1)
    place = matches.reshape(3000, 25, 3).argmax(1)
    for c in range(3):
        laws.is_spread_evenly(place[:, c], 25)
    laws.has_probability(place[:, 0] == place[:, 1], 1 / 25)


def test_impossible_channels_are_refused():
    with pytest.raises(ValueError, match=r"keep = 4 must be in \[1, 3\]"):
        channels.drop_channels(KEY, jnp.ones((2, 2, 3)), keep=4)
    with pytest.raises(ValueError, match="leave nothing"):
        channels.jitter_channels(KEY, jnp.ones((4, 9, 3)), pixels=2)
