"""DeepCluster-v2's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.images import known_crops
from tests.methods.pairs import WIDTHS, float64
from tests.references import clustering as reference

B, N, K, D, HEADS = 8, 20, 3, 6, 3
TAU = 0.2
KEY = jax.random.key(1)


def views_of(seed, rows=B):
    rng = np.random.default_rng(seed)
    crops = {"global": (rows, 2, 8, 8, 3), "local": (rows, 2, 4, 4, 3)}
    views = {k: jnp.asarray(rng.uniform(size=s), jnp.float32) for k, s in crops.items()}
    return {**views, "index": jnp.asarray(rng.permutation(N)[:rows], jnp.int32)}


@pytest.fixture(scope="module")
def made():
    """(method, params, state, compiled loss, compiled refresh)."""
    method = METHODS["deepcluster_v2"](
        ENCODERS["convnet"](widths=WIDTHS),
        known_crops,
        N,
        num_prototypes=K,
        num_heads=HEADS,
        temperature=TAU,
        iterations=20,
        hidden_dim=16,
        output_dim=D,
    )
    params, state = jax.jit(method.init)(jax.random.key(0), views_of(0))
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=jnp.int32(0)))
    return method, params, state, loss, jax.jit(method.refresh.fit)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_loss_is_the_mean_over_heads_and_crops(made):
    method, params, state, loss, _ = made
    views = views_of(1)
    del views["local"]
    value, (after, metrics) = loss(params, state, views)
    index = np.asarray(views["index"])
    # What the step has stored are its own embeddings.
    z = np.stack([float64(bank)[index] for bank in after.banks], axis=1)
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, rtol=1e-6)
    prototypes, labels = float64(state.prototypes), np.asarray(state.labels)
    losses, hits = [], []
    for h in range(HEADS):
        for v in range(2):
            scores = z[:, v] @ prototypes[h].T
            targets = labels[h, index]
            losses.append(reference.cross_entropies(scores / TAU, targets).mean())
            hits.append(np.mean(scores.argmax(1) == targets))
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)
    assert metrics["assignment_accuracy"] == pytest.approx(np.mean(hits))
    np.testing.assert_allclose(
        metrics["prototype_entropy"],
        np.mean([reference.entropy(r) for r in labels]),
        rtol=1e-5,
    )
    assert method.health.chance(B) == pytest.approx(np.log(K))


def test_small_crops_predict_too(made):
    _, params, state, loss, _ = made
    views = views_of(1)
    other = {**views, "local": views_of(2)["local"]}
    assert abs(loss(params, state, views)[0] - loss(params, state, other)[0]) > 1e-4


def test_memory_moves_where_images_were_seen_and_nowhere_else(made):
    _, params, state, loss, _ = made
    views = views_of(3)
    _, (after, _) = loss(params, state, views)
    seen = np.isin(np.arange(len(state.banks[0])), views["index"])
    for before, bank in zip(state.banks, after.banks, strict=True):
        np.testing.assert_array_equal(bank[~seen], before[~seen])
        assert np.all(np.any(bank[seen] != before[seen], axis=1))
    for name in ("prototypes", "labels", "sizes", "shared"):
        np.testing.assert_array_equal(getattr(after, name), getattr(state, name))


def test_a_refresh_clusters_each_memory_by_angle(made, rng):
    _, params, state, _, fit = made
    # Three narrow bundles of directions a crop, other ones for each.
    truth = rng.permutation(np.arange(N) % K)
    bundles = np.stack([np.eye(K, D)[truth], np.eye(K, D, k=3)[truth]], axis=1)
    features = unit(bundles + 0.05 * rng.normal(size=(N, 2, D))).astype("f")
    padded = np.concatenate([features, np.ones((4, 2, D), "f")])
    same, after, metrics = fit(params, state, padded, KEY)
    jax.tree.map(np.testing.assert_array_equal, same, params)
    shared = []
    for h in range(HEADS):
        mine = features[:, h % 2]
        labels, centers = np.asarray(after.labels[h]), after.prototypes[h]
        again, moved = reference.lloyd(mine, centers, 1, spherical=True)
        np.testing.assert_array_equal(labels, again)
        np.testing.assert_allclose(centers, moved, atol=1e-5)
        np.testing.assert_array_equal(after.sizes[h], np.bincount(labels, minlength=K))
        shared.append(reference.mutual_information(labels, np.asarray(state.labels[h])))
    np.testing.assert_allclose(after.shared, np.mean(shared), rtol=1e-4)
    assert metrics["mutual_information"] == after.shared
    for crop, bank in enumerate(after.banks):
        np.testing.assert_array_equal(bank[:N], features[:, crop])
        np.testing.assert_array_equal(bank[N:], state.banks[crop][N:])


def test_heads_differ_by_their_first_centres(made, rng):
    _, params, state, _, fit = made
    features = unit(rng.normal(size=(N, 2, D))).astype("f")
    _, after, _ = fit(params, state, features, KEY)
    # Heads 0 and 2 cluster the same memory.
    assert np.any(after.prototypes[0] != after.prototypes[2])


def test_what_is_recalled_are_the_memories(made):
    method, params, state, _, fit = made
    found = method.refresh.recall(state)
    assert found.shape == (len(state.banks[0]), 2, D)
    _, after, _ = fit(params, state, found, KEY)
    jax.tree.map(np.testing.assert_array_equal, after.banks, state.banks)


def test_the_first_memory_is_of_the_image_itself(made):
    method, params, state, _, _ = made
    images = views_of(4)["global"][:, 0]
    found = method.refresh.embed(params, state, {"view": images})
    assert found.shape == (B, 2, D)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    np.testing.assert_allclose(
        found[:, 0], unit(method.health.project(params, state, images)), rtol=1e-6
    )
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_prototypes": 21},
            "num_prototypes = 21 must be at most .* = 20",
        ),
        ({"num_heads": 0}, "num_heads = 0"),
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
    ],
)
def test_settings_are_refused(settings, message):
    settings = {"num_prototypes": K, **settings}
    with pytest.raises(ValueError, match=message):
        METHODS["deepcluster_v2"](ENCODERS["convnet"](), known_crops, N, **settings)


def test_a_recipe_without_the_rows_is_refused_and_with_them_is_not(made):
    method, *_ = made
    example = {"image": jnp.zeros((8, 8, 3), jnp.uint8), "index": jnp.int32(3)}
    sizes = {
        "sizes": (8, 4),
        "counts": (2, 1),
        "min_scales": (0.5, 0.2),
        "max_scales": (1.0, 0.5),
    }
    recipe = VIEWS["swav"](**sizes)
    views = jax.eval_shape(recipe, KEY, example)
    with pytest.raises(ValueError, match=r"'index'.*carried = \('index',\)"):
        method.init(KEY, views)
    views = jax.eval_shape(VIEWS["swav"](**sizes, carried=("index",)), KEY, example)
    assert {name: leaf.shape for name, leaf in views.items()} == {
        "global": (2, 8, 8, 3),
        "local": (1, 4, 4, 3),
        "index": (),
    }
