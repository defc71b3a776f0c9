import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.patches import (
    gather_tokens,
    grid_shape,
    kept_count,
    overlapping,
    patchify,
    random_keep,
    unpatchify,
)

SHAPES = [((2, 8, 12, 3), 4), ((1, 6, 6, 1), 2), ((3, 5, 10, 2), 5), ((2, 4, 4, 3), 1)]


@pytest.mark.parametrize(("shape", "patch"), SHAPES)
def test_unpatchify_inverts_patchify_bit_for_bit(rng, shape, patch):
    x = rng.normal(size=shape).astype(np.float32)
    patches = patchify(jnp.asarray(x), patch)
    grid = (shape[1] // patch, shape[2] // patch)
    np.testing.assert_array_equal(unpatchify(patches, patch, grid), x)


@pytest.mark.parametrize(("shape", "patch"), SHAPES)
def test_patches_are_slices_row_by_row(rng, shape, patch):
    x = rng.integers(0, 255, shape).astype(np.uint8)
    patches = np.asarray(patchify(jnp.asarray(x), patch))
    columns = shape[2] // patch
    for n in range(patches.shape[1]):
        top, left = n // columns * patch, n % columns * patch
        want = x[:, top : top + patch, left : left + patch].reshape(shape[0], -1)
        np.testing.assert_array_equal(patches[:, n], want)


@pytest.mark.parametrize(
    ("side", "patch", "grid", "step"), [(256, 64, 7, 32), (260, 80, 6, 36)]
)
def test_papers_grids_have_even_steps(side, patch, grid, step):
    image = jnp.arange(side, dtype=jnp.float32)
    image = jnp.broadcast_to(image[:, None, None], (side, side, 1))
    patches = np.asarray(overlapping(image, patch, grid))
    assert patches.shape == (grid * grid, patch, patch, 1)
    assert patches[::grid, 0, 0, 0].tolist() == [step * i for i in range(grid)]


def test_overlapping_patches_are_slices_row_by_row(rng):
    x = rng.normal(size=(2, 7, 9, 3)).astype(np.float32)
    patches = np.asarray(overlapping(jnp.asarray(x), 4, 3))
    for n, (top, left) in enumerate((t, u) for t in (0, 2, 3) for u in (0, 2, 5)):
        want = x[:, top : top + 4, left : left + 4]
        np.testing.assert_array_equal(patches[:, n], want)
    with pytest.raises(ValueError, match=r"patch = 8 does not fit .* 7 x 9"):
        overlapping(jnp.asarray(x), 8, 3)


def test_gather_tokens_picks_and_repeats(rng):
    tokens = rng.normal(size=(3, 5, 2)).astype(np.float32)
    index = rng.integers(0, 5, (3, 7)).astype(np.int32)
    found = gather_tokens(jnp.asarray(tokens), jnp.asarray(index))
    want = np.stack([row[i] for row, i in zip(tokens, index, strict=True)])
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("patch", [3, 0])
def test_patch_that_does_not_divide_is_named(patch):
    with pytest.raises(ValueError, match=rf"8 x 12 pixels .* {patch} x {patch}"):
        patchify(jnp.ones((1, 8, 12, 3)), patch)


def test_grid_shape_is_height_then_width():
    assert grid_shape(8, 12, 4) == (2, 3)


@pytest.mark.parametrize(("patch", "grid"), [(2, (2, 2)), (3, (2, 3))])
def test_patches_that_do_not_fill_the_grid_are_refused(patch, grid):
    with pytest.raises(ValueError, match="6 patches of 12 values"):
        unpatchify(jnp.ones((1, 6, 12)), patch, grid)


KEPT = random_keep(jax.random.key(0), 5, 196, 49)


def test_every_image_keeps_as_many_patches():
    assert KEPT.keep.shape == (5, 49)
    assert KEPT.restore.shape == KEPT.mask.shape == (5, 196)
    assert KEPT.keep.dtype == KEPT.restore.dtype == jnp.int32
    assert (np.asarray(KEPT.mask).sum(axis=1) == 147).all()
    for keep, mask in zip(KEPT.keep, KEPT.mask, strict=True):
        assert len(set(np.asarray(keep).tolist())) == 49
        assert not mask[keep].any()
    assert len({tuple(np.sort(keep).tolist()) for keep in np.asarray(KEPT.keep)}) == 5


def test_restoring_undoes_the_shuffle():
    numbers = jnp.broadcast_to(jnp.arange(196.0)[None, :, None], (5, 196, 1))
    kept = gather_tokens(numbers, KEPT.keep)
    holes = jnp.full((5, 147, 1), -1.0)
    back = gather_tokens(jnp.concatenate([kept, holes], axis=1), KEPT.restore)
    want = np.where(KEPT.mask[..., None], -1, numbers)
    np.testing.assert_array_equal(back, want)


def test_every_patch_is_kept_as_often_as_any_other():
    kept = random_keep(jax.random.key(1), 4000, 16, 4)
    share = 1 - np.asarray(kept.mask).mean(axis=0)
    # Four standard deviations of a mean of 4000 draws of probability 1/4.
    assert np.abs(share - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 4000)


@pytest.mark.parametrize(
    ("patches", "ratio", "kept"),
    [(196, 0.75, 49), (196, 0.85, 29), (196, 0.95, 9), (100, 0.9, 9), (64, 0.75, 16)],
)
def test_kept_count_is_that_of_the_released_code(patches, ratio, kept):
    assert kept_count(patches, ratio) == kept


@pytest.mark.parametrize(("patches", "ratio"), [(4, 0.9), (4, 0.0), (196, -0.5)])
def test_masks_that_hide_all_or_nothing_are_refused(patches, ratio):
    with pytest.raises(ValueError, match=f"mask_ratio = {ratio} leaves"):
        kept_count(patches, ratio)


@pytest.mark.parametrize("kept", [0, 9])
def test_keeping_more_than_there_are_is_refused(kept):
    with pytest.raises(ValueError, match=rf"kept = {kept} must be in \[1, 8\]"):
        random_keep(jax.random.key(0), 2, 8, kept)
