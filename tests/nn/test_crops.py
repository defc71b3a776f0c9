import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.crops import crop_stacks, forward_crops


def stacks_of(rng, *shapes):
    return [
        jnp.asarray(rng.uniform(size=(4, *shape, 3)), jnp.float32) for shape in shapes
    ]


def test_sizes_go_through_one_by_one_and_move_the_statistics_in_order(rng):
    stacks = stacks_of(rng, (2, 8, 8), (3, 6, 6), (1, 4, 4))
    encoder = ENCODERS["convnet"](widths=(4, 5))
    params, stats = initialize(encoder, jax.random.key(0), stacks[0][:, 0])
    pooled, moved = forward_crops(encoder, params, stats, stacks)
    assert pooled.shape == (4, 6, 5)
    place = 0
    for stack in stacks:
        flat = stack.reshape(-1, *stack.shape[2:])
        one, stats = forward(encoder, params, stats, flat)
        count = stack.shape[1]
        mine = pooled[:, place : place + count].reshape(-1, 5)
        np.testing.assert_array_equal(mine, one.pooled)
        place += count
    jax.tree.map(np.testing.assert_array_equal, moved, stats)


def test_evaluation_leaves_the_statistics(rng):
    stacks = stacks_of(rng, (2, 8, 8), (1, 6, 6))
    encoder = ENCODERS["convnet"](widths=(4, 5))
    params, stats = initialize(encoder, jax.random.key(0), stacks[0][:, 0])
    _, after = forward_crops(encoder, params, stats, stacks, train=False)
    jax.tree.map(np.testing.assert_array_equal, after, stats)


def test_large_crops_come_first():
    sizes = {"local_2": 2, "global": 8, "index": None, "local": 4}
    views = {
        name: np.zeros((1, 2, size, size, 3)) if size else np.zeros(1)
        for name, size in sizes.items()
    }
    assert [stack.shape[2] for stack in crop_stacks(views)] == [8, 4, 2]
    assert len(crop_stacks(views["global"])) == 1


def test_other_views_are_refused():
    with pytest.raises(ValueError, match=r"not \['image', 'index'\]; choose"):
        crop_stacks({"image": np.zeros((1, 8, 8, 3)), "index": np.zeros(1)})
    with pytest.raises(ValueError, match=r"global crops of shape \(4, 8, 8, 3\)"):
        crop_stacks(np.zeros((4, 8, 8, 3)))


def test_features_that_depend_on_the_size_are_refused(rng):
    stacks = stacks_of(rng, (2, 8, 8), (1, 4, 4))
    encoder = ENCODERS["convnet"](widths=(4, 5), pool="flat")
    params, stats = initialize(encoder, jax.random.key(0), stacks[0][:, 0])
    with pytest.raises(ValueError, match=r"have \[80, 20\] features"):
        forward_crops(encoder, params, stats, stacks)
