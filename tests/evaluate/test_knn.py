"""The weighted vote against a loop in float64, scikit-learn, and laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jax_ssl.evaluate.knn import knn, vote
from jax_ssl.evaluate.part import part_of
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.digits import digit_pixels, judged, labelled, score
from tests.references import neighbors as reference


@pytest.fixture(scope="module")
def clouds():
    """Seven overlapping classes in nine dimensions."""
    rng = np.random.default_rng(3)
    centers = rng.normal(size=(7, 9))

    def draw(count):
        labels = rng.integers(0, 7, count)
        return labelled(centers[labels] + rng.normal(size=(count, 9)), labels)

    return draw(150), draw(61)


@pytest.mark.parametrize(
    ("k", "temperature"), [(1, 0.1), (7, 0.07), (20, 0.5), (150, 0.1)]
)
def test_accuracies_are_those_of_the_vote_by_hand(clouds, k, temperature):
    train, test = clouds
    nearest, *weighted = judged(knn(k=k, temperature=temperature), train, test)
    found = reference.few_label_nearest(
        train.features, train.labels, test.features, np.arange(150)
    )
    assert nearest.values["accuracy"] == pytest.approx((found == test.labels).mean())
    assert nearest.settings == {"k": 1}
    votes = reference.votes(
        train.features, train.labels, test.features, k, temperature, 7
    )
    order = np.argsort(-votes, axis=1, kind="stable")
    hits = (order == test.labels[:, None]) & (np.take_along_axis(votes, order, 1) > 0)
    for outcome in weighted:
        assert outcome.settings == {"k": k, "temperature": temperature}
        assert outcome.values["accuracy"] == pytest.approx(hits[:, 0].mean())
        fifth = outcome.values["accuracy_top5"]
        assert fifth == pytest.approx(hits[:, :5].any(1).mean())
    assert len(weighted) == (k > 1)


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
    found = score(knn(k=k, temperature=temperature), train, test)
    # One test image of room, for equal votes.
    assert found == pytest.approx(expected, abs=1.5 / len(test.labels))
    assert found > 0.9


def test_votes_are_sums_of_weights(rng):
    scores = -np.sort(-rng.uniform(-1, 1, (4, 6)).astype(np.float32))
    labels = rng.integers(0, 3, (4, 6)).astype(np.int32)
    one = functools.partial(vote, temperature=0.2, num_classes=3)
    found = jax.vmap(one)(scores, labels)
    wide = scores.astype(np.float64)
    weights = np.exp((wide - wide[:, :1]) / 0.2)
    expected = np.stack([(weights * (labels == c)).sum(1) for c in range(3)], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_every_example_is_its_own_nearest_neighbour(clouds):
    assert score(knn(k=1), clouds[0], clouds[0]) == 1


def test_infinite_temperature_counts_heads(clouds):
    train, test = clouds
    _, rows = reference.top_k(
        reference.unit(test.features), reference.unit(train.features), 9
    )
    counts = [np.bincount(train.labels[row], minlength=7) for row in rows]
    expected = (np.argmax(counts, axis=1) == test.labels).mean()
    found = score(knn(k=9, temperature=float("inf")), train, test)
    assert found == pytest.approx(expected)


def test_vanishing_temperature_is_the_nearest_neighbour(clouds):
    nearest, weighted = judged(knn(k=50, temperature=1e-6), *clouds)
    assert weighted.values["accuracy"] == nearest.values["accuracy"]


def test_the_order_of_the_bank_changes_nothing(clouds, rng):
    train, test = clouds
    order = rng.permutation(150)
    moved = labelled(train.features[order], train.labels[order])
    assert judged(knn(k=20), moved, test) == judged(knn(k=20), train, test)


def test_duplicate_examples_double_the_vote(clouds):
    train, test = clouds
    double = labelled(np.repeat(train.features, 2, 0), np.repeat(train.labels, 2))
    assert score(knn(k=40), double, test) == score(knn(k=20), train, test)
    scores, labels = jnp.array([0.9, 0.5, 0.1]), jnp.array([0, 1, 1])
    once = vote(scores, labels, temperature=0.1, num_classes=2)
    twice = vote(
        jnp.repeat(scores, 2), jnp.repeat(labels, 2), temperature=0.1, num_classes=2
    )
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)


def test_the_length_of_features_changes_nothing(clouds):
    train, test = clouds
    long = labelled(train.features * 1e3, train.labels)
    short = labelled(test.features * 1e-3, test.labels)
    assert judged(knn(k=20), long, short) == judged(knn(k=20), train, test)


def test_random_features_have_chance_accuracy(rng):
    train = labelled(rng.normal(size=(400, 16)), np.arange(400) % 10)
    test = labelled(rng.normal(size=(1000, 16)), np.arange(1000) % 10)
    sigma = np.sqrt(0.1 * 0.9 / 1000)
    assert abs(score(knn(k=20), train, test) - 0.1) < 3 * sigma


def test_a_mesh_changes_nothing(clouds):
    alone = judged(knn(k=20), *clouds)
    with jax.set_mesh(make_mesh(fsdp=2)):
        assert judged(knn(k=20), *clouds) == alone


def test_places_without_an_example_neither_vote_nor_count(clouds):
    train, test = clouds
    parts = [part_of(x.features, label=x.labels) for x in (train, test)]
    for part in parts:
        part.rows[5:20] = -1
    found = list(knn(k=20).run(*parts))
    kept = [
        labelled(
            np.delete(x.features, np.s_[5:20], 0), np.delete(x.labels, np.s_[5:20])
        )
        for x in (train, test)
    ]
    assert found == judged(knn(k=20), *kept)


def test_too_large_k_is_reduced_and_says_so(clouds):
    found = judged(knn(k=200), *clouds)[-1]
    assert found.settings["k"] == 150
    assert "200" in found.detail["note"]
    assert "note" not in judged(knn(k=150), *clouds)[-1].detail


def test_labels_may_be_any_numbers(clouds):
    """What it costs does not depend on the values of labels, only on how many."""
    catalogue = np.array([7, 123, 4_000, 70_000, 299_999, 300_000, 12])
    odd = [labelled(x.features, catalogue[x.labels]) for x in clouds]
    order = np.argsort(catalogue)  # Equal votes go to the lowest label.
    same = [labelled(x.features, np.argsort(order)[x.labels]) for x in clouds]
    assert judged(knn(k=20), *odd) == judged(knn(k=20), *same)


def test_labels_that_train_lacks_are_wrong(clouds):
    train, test = clouds
    strange = labelled(test.features, np.full(61, 8))
    for outcome in judged(knn(k=150), train, strange):
        assert all(value in (0, None) for value in outcome.values.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"k": 0}, "k = 0 must be"), ({"temperature": 0.0}, "temperature = 0.0 must be")],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        knn(**settings)
