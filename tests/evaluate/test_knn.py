"""The weighted vote against a loop in float64, scikit-learn, and laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jax_ssl.evaluate import knn as module
from jax_ssl.evaluate.knn import knn, vote
from jax_ssl.parallel.mesh import make_mesh, replicated
from tests.evaluate.digits import digit_pixels, feature_set
from tests.references import neighbors as reference


@pytest.fixture(scope="module")
def clouds():
    """Seven overlapping classes in nine dimensions."""
    rng = np.random.default_rng(3)
    centers = rng.normal(size=(7, 9))

    def draw(count):
        labels = rng.integers(0, 7, count)
        return feature_set(centers[labels] + rng.normal(size=(count, 9)), labels)

    return draw(150), draw(61)


@pytest.mark.parametrize(
    ("k", "temperature"), [(1, 0.1), (7, 0.07), (20, 0.5), (150, 0.1)]
)
def test_accuracies_are_those_of_the_vote_by_hand(clouds, k, temperature):
    train, test = clouds
    found = knn(train, test, k=k, temperature=temperature, query_block=16)
    votes = reference.votes(
        train.features, train.labels, test.features, k, temperature, 7
    )
    order = np.argsort(-votes, axis=1, kind="stable")
    hits = (order == test.labels[:, None]) & (np.take_along_axis(votes, order, 1) > 0)
    assert found["accuracy"] == pytest.approx(hits[:, 0].mean(), abs=1e-9)
    if k >= 5:
        assert found["accuracy_top5"] == pytest.approx(hits[:, :5].any(1).mean())
    else:
        assert found["accuracy_top5"] is None
    nearest = reference.few_label_nearest(
        train.features, train.labels, test.features, np.arange(150)
    )
    assert found["accuracy_nearest"] == pytest.approx((nearest == test.labels).mean())


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (20, 0.1), (200, 0.07)])
def test_agrees_with_scikit_learn_on_digits(k, temperature):
    train, test = digit_pixels()
    judge = KNeighborsClassifier(
        n_neighbors=k,
        algorithm="brute",
        metric="cosine",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    ).fit(train.features.astype(np.float64), train.labels)
    expected = judge.score(test.features.astype(np.float64), test.labels)
    found = knn(train, test, k=k, temperature=temperature)
    # One test image of room, for equal votes.
    assert found["accuracy"] == pytest.approx(expected, abs=1.5 / len(test.labels))
    assert found["accuracy"] > 0.9


def test_votes_are_sums_of_weights(rng):
    scores = -np.sort(-rng.uniform(-1, 1, (4, 6)).astype(np.float32))
    labels = rng.integers(0, 3, (4, 6)).astype(np.int32)
    found = vote(
        jnp.asarray(scores), jnp.asarray(labels), temperature=0.2, num_classes=3
    )
    wide = scores.astype(np.float64)
    weights = np.exp((wide - wide[:, :1]) / 0.2)
    expected = np.stack([(weights * (labels == c)).sum(1) for c in range(3)], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_every_example_is_its_own_nearest_neighbour(clouds):
    train, _ = clouds
    found = knn(train, train, k=1)
    assert found["accuracy"] == found["accuracy_nearest"] == 1


def test_infinite_temperature_counts_heads(clouds):
    train, test = clouds
    _, rows = reference.top_k(
        reference.unit(test.features), reference.unit(train.features), 9
    )
    counts = [np.bincount(train.labels[row], minlength=7) for row in rows]
    expected = (np.argmax(counts, axis=1) == test.labels).mean()
    found = knn(train, test, k=9, temperature=float("inf"))
    assert found["accuracy"] == pytest.approx(expected)


def test_vanishing_temperature_is_the_nearest_neighbour(clouds):
    found = knn(*clouds, k=50, temperature=1e-6)
    assert found["accuracy"] == found["accuracy_nearest"]


def test_the_order_of_the_bank_changes_nothing(clouds, rng):
    train, test = clouds
    order = rng.permutation(150)
    moved = feature_set(train.features[order], train.labels[order])
    assert knn(moved, test, k=20) == knn(train, test, k=20)


def test_duplicate_examples_double_the_vote(clouds):
    train, test = clouds
    double = feature_set(np.repeat(train.features, 2, 0), np.repeat(train.labels, 2))
    assert knn(double, test, k=40)["accuracy"] == knn(train, test, k=20)["accuracy"]
    scores, labels = jnp.array([[0.9, 0.5, 0.1]]), jnp.array([[0, 1, 1]])
    once = vote(scores, labels, temperature=0.1, num_classes=2)
    twice = vote(
        jnp.repeat(scores, 2, 1),
        jnp.repeat(labels, 2, 1),
        temperature=0.1,
        num_classes=2,
    )
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)


def test_the_length_of_features_changes_nothing(clouds):
    train, test = clouds
    long = feature_set(train.features * 1e3, train.labels)
    short = feature_set(test.features * 1e-3, test.labels)
    assert knn(long, short, k=20) == knn(train, test, k=20)


def test_random_features_have_chance_accuracy(rng):
    train = feature_set(rng.normal(size=(400, 16)), np.arange(400) % 10)
    test = feature_set(rng.normal(size=(1000, 16)), np.arange(1000) % 10)
    sigma = np.sqrt(0.1 * 0.9 / 1000)
    assert abs(knn(train, test, k=20)["accuracy"] - 0.1) < 3 * sigma


@pytest.mark.parametrize("query_block", [7, 60])
def test_the_query_block_changes_nothing(clouds, query_block):
    assert knn(*clouds, k=20, query_block=query_block) == knn(*clouds, k=20)


def test_a_mesh_changes_nothing_and_does_not_communicate(clouds):
    train, test = clouds
    alone = knn(train, test, k=20)
    mesh = make_mesh(fsdp=2)
    with jax.set_mesh(mesh):
        assert knn(train, test, k=20) == alone
        shapes = ((150, 9), (150,), (64, 9), (64,))
        kinds = (jnp.float32, jnp.int32, jnp.float32, jnp.int32)
        args = [
            jax.ShapeDtypeStruct(shape, kind, sharding=replicated(mesh))
            for shape, kind in zip(shapes, kinds, strict=True)
        ]
        text = module._count_correct.lower(*args, 0.1, 20, 7).compile().as_text()
    for collective in ("all-gather", "all-to-all", "collective-permute"):
        assert collective not in text
    assert "f32[8,1,150]" in text  # Eight queries a device against the bank.


def test_too_large_k_is_reduced_and_says_so(clouds):
    found = knn(*clouds, k=200)
    assert found["k"] == 150
    assert "200" in found["note"]
    assert "note" not in knn(*clouds, k=150)


def test_labels_that_train_lacks_are_wrong(clouds):
    train, test = clouds
    strange = feature_set(test.features, np.full(61, 8))
    found = knn(train, strange, k=150)
    assert found["accuracy"] == found["accuracy_nearest"] == found["accuracy_top5"] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"k": 0}, "knn.k = 0"), ({"temperature": 0.0}, "temperature = 0.0 must be")],
)
def test_impossible_settings_are_refused(clouds, settings, message):
    with pytest.raises(ValueError, match=message):
        knn(*clouds, **settings)


def test_missing_labels_and_unequal_widths_are_refused(clouds):
    train, test = clouds
    with pytest.raises(ValueError, match="test features have no labels"):
        knn(train, feature_set(test.features, None))
    with pytest.raises(ValueError, match="9 wide and test features 8"):
        knn(train, feature_set(test.features[:, :8], test.labels))
