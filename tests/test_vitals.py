"""What a method tells the collapse doctor: its embeddings, and its loss by chance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.train.step import init
from tests.cases import METHODS_UNDER_TEST, one_a_method
from tests.images import BATCH, batch, examples
from tests.test_contract import SGD

CASES = {name: case.build() for name, case in METHODS_UNDER_TEST.items()}
PROJECTING = [
    name for name, method in CASES.items() if method.health.project is not None
]
CHANCE = [name for name, method in CASES.items() if method.health.chance is not None]
# Those of whom equal images are all that chance asks for. Prototypes would have to be
# equally near as well.
PAIRED = {"simclr", "supcon", "moco", "moco_v3", "npid", "triplet"}
# The form of NPID that fixes its Z by the first scores of an untrained network.
NCE = "npid"


@functools.cache
def first(name):
    # The battery's program: the cache holds it, whichever of the two comes first.
    start = jax.jit(functools.partial(init, CASES[name], SGD))
    train = start(jax.random.key(0), batch())
    return train.params, train.state


@pytest.mark.parametrize("name", one_a_method(PROJECTING))
def test_an_embedding_is_of_its_own_image_alone(name):
    method = CASES[name]
    params, state = first(name)
    embed = functools.partial(jax.jit(method.health.project), params, state)
    images = jnp.asarray(examples(BATCH)["image"], jnp.float32) / 255
    others = jnp.asarray(examples(BATCH, seed=1)["image"], jnp.float32) / 255
    z, z_others = embed(images), embed(others)
    assert z.ndim == 2
    assert len(z) == BATCH
    assert z.dtype == jnp.float32
    assert np.isfinite(z).all()
    # Untrained, a long head may shrink what it is given to a millionth.
    scale = np.abs(z).max()
    assert np.abs(z - z_others).max() > 1e-3 * scale
    mixed = embed(jnp.concatenate([images[:3], others[3:]]))
    np.testing.assert_allclose(mixed[:3], z[:3], rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("name", CHANCE)
def test_chance_is_a_number_that_does_not_fall_with_the_batch(name):
    values = [CASES[name].health.chance(size) for size in (2, 16, 4096)]
    assert all(isinstance(value, float) for value in values)
    assert np.isfinite(values).all()
    assert 0 < values[0] <= values[1] <= values[2]


@pytest.mark.parametrize(
    "name",
    one_a_method(
        n for n in CHANCE if METHODS_UNDER_TEST[n].method in PAIRED and n != NCE
    ),
)
def test_chance_is_the_loss_of_equal_images(name):
    """Queues and banks fill with the one embedding that there is."""
    method = CASES[name]
    params, state = first(name)
    image = batch()["image"][0]

    @jax.jit
    def look(state, step, index):
        def view(row):
            same = {"image": image, "index": row}
            return method.views(jax.random.key(2), same)

        views = jax.vmap(view)(index)
        # Where there are two views of it, both are one too.
        first_of = lambda x: jnp.broadcast_to(x[:, :1], x.shape) if x.ndim == 5 else x
        views = jax.tree.map(first_of, views)
        key = jax.random.key(3)
        value, (state, _) = method.loss(params, state, views, key=key, step=step)
        return value, state

    for step in range(80):  # Twenty times all 64 images.
        index = (step * BATCH + jnp.arange(BATCH)) % 64
        value, state = look(state, jnp.int32(step), index)
    np.testing.assert_allclose(value, method.health.chance(BATCH), rtol=2e-4)


def test_chance_of_nce_is_one_probability_for_all():
    method = CASES[NCE]
    settings = METHODS_UNDER_TEST[NCE].settings
    n, m = 64, settings["num_negatives"]
    rows = batch()
    images = jnp.broadcast_to(rows["image"][:1], rows["image"].shape) / 255.0
    params, state = first(NCE)
    views = {"image": images, "index": rows["index"]}

    @jax.jit
    def look(state):
        key, step = jax.random.key(3), jnp.int32(0)
        return method.loss(params, state, views, key=key, step=step)[0]

    # With a bank of zeros every score is 0.
    empty = state._replace(bank=jnp.zeros_like(state.bank))
    found = look(empty._replace(partition=jnp.float32(n)))  # P = exp(0) / n = 1 / n.
    np.testing.assert_allclose(found, method.health.chance(BATCH), rtol=1e-5)
    for partition in (n / 3, n * 3):
        assert look(empty._replace(partition=jnp.float32(partition))) > found
    odds = -m * np.log(m / (m + 1)) - np.log(1 / (m + 1))
    assert method.health.chance(BATCH) == pytest.approx(odds)
