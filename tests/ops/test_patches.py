import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.patches import gather_tokens, grid_shape, patchify, unpatchify

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
