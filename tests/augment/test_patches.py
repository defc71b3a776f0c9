"""Overlapping patches: where they lie, and what each of them draws for itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from tests import laws

KEY = jax.random.key(4)
# The image as it is.
STILL = {"min_scale": 1.0, "flip": 0.0, "gray_probability": 0.0, "inner": None}


def drawn(image, count, **settings):
    """[count, grid * grid, patch, patch, C], by as many keys."""
    views = VIEWS["cpc_patches"](size=8, patch=4, grid=3, **{**STILL, **settings})
    draw = jax.jit(jax.vmap(lambda key: views(key, {"image": jnp.asarray(image)})))
    return np.asarray(draw(jax.random.split(KEY, count)))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(0.1, 1, (8, 8, 3)).astype(np.float32)


def cut(image):
    """The nine patches of 4 pixels, 2 apart."""
    return np.stack([image[i : i + 4, j : j + 4] for i in (0, 2, 4) for j in (0, 2, 4)])


def test_patches_are_copies_that_overlap(image):
    patches = drawn(image, 1)[0]
    np.testing.assert_allclose(patches, cut(image), atol=1e-6)


def test_a_part_of_each_is_moved_to_the_middle_of_a_rim_of_zeros(image):
    patches = drawn(image, 64, inner=2)
    assert not patches[:, :, [0, 3]].any()
    assert not patches[:, :, :, [0, 3]].any()
    inner = patches[:, :, 1:3, 1:3]
    parts = np.stack(
        [cut(image)[:, y : y + 2, x : x + 2] for y in range(3) for x in range(3)]
    )
    off = np.abs(inner[:, None] - parts).max((3, 4, 5))  # [draws, places, patches]
    assert (off.min(1) < 1e-6).all()
    laws.is_spread_evenly(off.argmin(1).reshape(-1), 9)


def test_each_patch_keeps_a_channel_of_its_own(image):
    patches = drawn(image, 64, drop_probability=0.75)
    kept = np.isclose(patches, cut(image), atol=1e-6).all((2, 3))  # [64, 9, 3]
    count = kept.sum(-1)
    assert set(np.unique(count)) == {1, 3}
    laws.has_probability(count == 1, 0.75)
    laws.is_spread_evenly(kept[count == 1].argmax(-1), 3)
    others = patches.transpose(0, 1, 4, 2, 3)[~kept]
    assert (others == 0.5).all()


def test_the_image_is_mirrored_and_grey_as_a_whole(image):
    patches = drawn(image, 32, flip=0.5, gray_probability=0.5)
    grey = np.ptp(patches, axis=-1).max((2, 3)) < 1e-5  # [32, 9]
    assert (grey == grey[:, :1]).all()
    assert 0 < grey[:, 0].mean() < 1
    straight, mirrored = (cut(x) for x in (image, image[:, ::-1]))
    which = [
        [np.allclose(patch, wanted, atol=1e-5) for wanted in (straight, mirrored)]
        for patch in patches[~grey[:, 0]]
    ]
    assert (np.sum(which, axis=1) == 1).all()
    assert 0 < np.mean(which, axis=0)[0] < 1


def test_settings_out_of_range_are_refused():
    make = VIEWS["cpc_patches"]
    with pytest.raises(ValueError, match=r"patch = 40 must be in \[1, 32\]"):
        make(size=32, patch=40)
    with pytest.raises(ValueError, match=r"inner = 9 must be in \[1, 8\]"):
        make(size=32, patch=8, inner=9)
    with pytest.raises(ValueError, match="grid = 1 must be at least 2"):
        make(grid=1)
    grey = jnp.zeros((8, 8, 1))
    with pytest.raises(ValueError, match="set gray_probability=0"):
        make(size=8, patch=4, inner=None)(KEY, {"image": grey})
