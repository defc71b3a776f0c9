import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.masks import block_mask, block_masks, most_masked

GRID = (14, 14)


@pytest.fixture(scope="module")
def masks():
    make = jax.jit(
        lambda key: block_masks(key, 64, GRID, probability=0.5, ratios=(0.1, 0.5))
    )
    return np.asarray(make(jax.random.key(0)))


def test_half_of_the_images_are_masked_from_light_to_heavy(masks):
    shares = np.sort(masks.mean(1))
    assert (shares[:32] == 0).all()
    assert shares[32] > 0.05
    assert shares[-1] <= 0.5
    # One in each 32nd of [0.1, 0.5]; a block that is refused too often ends a mask.
    wanted = 0.1 + 0.4 * np.arange(32) / 32
    assert np.abs(shares[32:] - wanted).mean() < 0.03
    assert masks.sum(1).max() <= most_masked(GRID, (0.1, 0.5)) == 98


def test_masks_are_made_of_blocks(masks):
    for mask in masks[masks.any(1)].reshape(-1, *GRID):
        padded = np.pad(mask, 1)
        beside = padded[1:-1, :-2] | padded[1:-1, 2:] | padded[:-2, 1:-1]
        beside |= padded[2:, 1:-1]
        assert beside[mask].mean() > 0.8


def test_masks_differ_and_repeat(masks):
    masked = masks[masks.any(1)]
    assert len(np.unique(masked, axis=0)) == len(masked)
    own = block(jax.random.key(3), 40)
    np.testing.assert_array_equal(own, block(jax.random.key(3), 40))
    assert 20 <= own.sum() <= 40


def block(key, count):
    return np.asarray(block_mask(key, GRID, jnp.int32(count)))


def test_no_patch_is_masked_where_none_is_wanted():
    assert not block(jax.random.key(0), 0).any()
    none = block_masks(jax.random.key(0), 4, (4, 4), probability=0.0, ratios=(0.1, 0.5))
    assert not np.any(none)
