"""AMDIM's encoder: its grids, what a cell sees, its first values, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders.amdim import AMDIMEncoder

SMALL = {"width": 2, "output_dim": 8, "depth": 2}


@pytest.mark.parametrize("size", [32, 64, 128])
def test_grids_end_in_7_5_3_and_1_cells(size):
    encoder = AMDIMEncoder(image_size=size, **SMALL)
    init = functools.partial(encoder.init_with_output, train=False)
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    features, _ = jax.eval_shape(init, jax.random.key(0), image)
    assert [x.shape[1] for x in features.pyramid[-4:]] == [7, 5, 3, 1]
    assert features.pooled.shape == (2, 8)


def test_a_cell_sees_its_part_of_the_image_alone(rng):
    """8 pixels 4 apart for 7 x 7 cells: nothing is padded, so all see as much."""
    encoder = AMDIMEncoder(image_size=32, **SMALL)
    image = jnp.asarray(rng.uniform(size=(1, 32, 32, 3)), jnp.float32)
    variables = jax.jit(functools.partial(encoder.init, train=False))(
        jax.random.key(0), image
    )
    # The 1x1 convolutions that start at 0 would hide what their branch sees.
    params = jax.tree.map(
        lambda x: x + rng.normal(size=x.shape).astype("f4"), variables["params"]
    )
    cells = {-4: ((0, 0), (3, 6)), -3: ((4, 2),)}

    @jax.jit
    def slopes(image):
        def values(image):
            seen = encoder.apply({**variables, "params": params}, image, train=False)
            return [
                seen.pyramid[level][0, i, j].sum()
                for level, places in cells.items()
                for i, j in places
            ]

        return [jnp.abs(g[0]).sum(-1) for g in jax.jacrev(values)(image)]

    boxes = [(0, 0, 8), (12, 24, 8), (16, 8, 16)]
    for slope, (top, left, side) in zip(slopes(image), boxes, strict=True):
        rows, columns = np.nonzero(np.asarray(slope))
        assert (rows.min(), rows.max()) == (top, top + side - 1)
        assert (columns.min(), columns.max()) == (left, left + side - 1)


def test_first_features_are_means_of_the_stem(rng):
    """All branches start at 0, so that only pools and new channels of zeros remain."""
    encoder = AMDIMEncoder(image_size=32, **SMALL)
    image = jnp.asarray(rng.uniform(size=(2, 32, 32, 3)), jnp.float32)
    init = functools.partial(encoder.init_with_output, train=False)
    features, _ = jax.jit(init)(jax.random.key(0), image)
    stem, fine = (np.asarray(features.pyramid[i]) for i in (0, 2))
    # Cell (i, j) of the 7 x 7 grid is the mean of 6 x 6 cells, two of them twice.
    weights = np.convolve(np.ones(4), [1, 0, 1]) / 8
    np.testing.assert_allclose(
        fine[:, 1, 2, :2],
        np.einsum("y,x,byxc->bc", weights, weights, stem[:, 4:10, 8:14]),
        rtol=1e-5,
    )
    assert not fine[..., 2:].any()


def test_images_that_are_too_small_are_refused():
    encoder = AMDIMEncoder(image_size=64, **SMALL)
    with pytest.raises(ValueError, match=r"32 x 32 pixels.*encoder\.image_size = 64"):
        jax.eval_shape(
            functools.partial(encoder.init, train=False),
            jax.random.key(0),
            jnp.zeros((1, 32, 32, 3)),
        )
    with pytest.raises(ValueError, match="image_size = 48 must be one of 32, 64, 128"):
        AMDIMEncoder(image_size=48)
