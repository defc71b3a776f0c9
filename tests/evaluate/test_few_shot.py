"""Episodes by hand, and their classifiers beside scikit-learn's and SciPy's."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestCentroid

from jax_ssl.evaluate.few_shot import draw_episodes, few_shot
from jax_ssl.evaluate.protocol import Outcome, Skipped
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.digits import digit_pixels, judged, labelled
from tests.references.neighbors import unit


def logistic_by_scipy(x, y, asked, inverse_strength):
    """The classes by the minimum of the objective, from zero, in float64."""
    classes, width = y.max() + 1, x.shape[1]

    def objective(weights):
        kernel = weights[:-classes].reshape(width, classes)
        logits = x @ kernel + weights[-classes:]
        total = logsumexp(logits, axis=1)
        residual = np.exp(logits - total[:, None]) - np.eye(classes)[y]
        loss = np.sum(total - logits[np.arange(len(y)), y])
        value = inverse_strength * loss + 0.5 * np.sum(kernel**2)
        slope = inverse_strength * x.T @ residual + kernel
        return value, np.append(slope, inverse_strength * residual.sum(0))

    start = np.zeros((width + 1) * classes)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", tol=1e-10)
    kernel = found.x[:-classes].reshape(width, classes)
    return (asked @ kernel + found.x[-classes:]).argmax(1)


def outside(classifier, x, y, asked):
    if classifier == "nearest_centroid":
        return NearestCentroid().fit(x, y).predict(asked)
    if classifier == "cosine_centroid":
        means = NearestCentroid().fit(unit(x), y).centroids_
        return cosine_similarity(asked, means).argmax(1)
    return logistic_by_scipy(unit(x), y, unit(asked), 2.0)


@pytest.mark.parametrize(
    ("classifier", "episodes"),
    [("nearest_centroid", 40), ("cosine_centroid", 40), ("logistic", 6)],
)
@pytest.mark.parametrize("drawn_from", ["test", "both"])
def test_episodes_are_classified_as_by_others(classifier, episodes, drawn_from):
    train, test = digit_pixels()
    protocol = few_shot(
        ways=4,
        shots=3,
        queries=8,
        episodes=episodes,
        classifier=classifier,
        inverse_strength=2.0,
        drawn_from=drawn_from,
        seed=5,
    )
    (found,) = judged(protocol, train, test)
    x, y = test
    if drawn_from == "both":
        x, y = (np.concatenate(both) for both in zip(train, test, strict=True))
    x = x.astype(np.float64)
    rows = draw_episodes(y, 4, 3, 8, episodes=episodes, seed=5)
    right = []
    for episode in rows:
        own = episode[:, 8:].ravel(), episode[:, :8].ravel()
        classes = np.unique(y[own[0]], return_inverse=True)
        predicted = outside(classifier, x[own[0]], classes[1], x[own[1]])
        right.append((classes[0][predicted] == y[own[1]]).mean())
    assert found.values["accuracy"] == pytest.approx(np.mean(right), abs=1e-12)
    half = 1.96 * np.std(right, ddof=1) / np.sqrt(episodes)
    assert found.spread == pytest.approx(half, abs=1e-12)


def test_an_episode_holds_its_classes_and_no_row_twice():
    labels = np.append(np.arange(120) % 6, [-1] * 30)
    rows = draw_episodes(labels, 4, 3, 5, episodes=50, seed=0)
    assert rows.shape == (50, 4, 8)
    drawn = labels[rows]
    np.testing.assert_array_equal(drawn, np.broadcast_to(drawn[..., :1], drawn.shape))
    for episode in rows:
        assert len(set(labels[episode[:, 0]])) == 4
        assert len(set(episode.ravel())) == 32
    assert set(drawn.ravel()) == set(range(6))
    assert len({tuple(episode.ravel()) for episode in rows}) == 50
    more = draw_episodes(labels, 4, 9, 5, episodes=50, seed=0)
    np.testing.assert_array_equal(more[..., :8], rows)
    other = draw_episodes(labels, 4, 3, 5, episodes=50, seed=1)
    assert not np.array_equal(other, rows)


def test_features_without_a_class_are_at_chance_and_the_interval_covers_it(rng):
    test = labelled(rng.normal(size=(4000, 16)), np.arange(4000) % 40)
    (found,) = judged(few_shot(shots=1, episodes=300), test, test)
    assert abs(found.values["accuracy"] - 0.2) < 3 / 1.96 * found.spread


@pytest.mark.parametrize(
    "classifier", ["nearest_centroid", "cosine_centroid", "logistic"]
)
def test_perfect_features_are_always_right(classifier):
    test = labelled(np.eye(6).repeat(8, 0), np.arange(6).repeat(8) * 7)
    protocol = few_shot(
        shots=(1, 3), queries=5, episodes=3, classifier=classifier, ways=6
    )
    for found in judged(protocol, test, test):
        assert found.values == {"accuracy": 1.0}
        assert found.spread == 0


def test_only_the_cosine_is_blind_to_length(rng):
    labels = np.arange(200) % 5
    x = np.eye(5)[labels] + 0.5 * rng.normal(size=(200, 5))
    scale = rng.uniform(0.1, 10, (200, 1))
    for classifier, same in [("cosine_centroid", True), ("nearest_centroid", False)]:
        protocol = few_shot(shots=5, episodes=20, classifier=classifier)
        parts = (labelled(values, labels) for values in (x, x * scale))
        (plain,), (scaled,) = (judged(protocol, part, part) for part in parts)
        assert (plain.values == scaled.values) == same


def test_a_mesh_changes_nothing():
    protocol = few_shot(shots=2, queries=5, episodes=60, drawn_from="both")
    alone = judged(protocol, *digit_pixels())
    with jax.set_mesh(make_mesh(fsdp=2)):
        assert judged(protocol, *digit_pixels()) == alone


def test_classes_that_are_too_small_are_named_and_never_drawn(rng):
    labels = np.array([0] * 20 + [1] * 20 + [2] * 20 + [3] * 4)
    test = labelled(rng.normal(size=(64, 3)), labels)
    few, many = judged(
        few_shot(ways=3, shots=(2, 9), queries=12, episodes=9), test, test
    )
    assert isinstance(few, Outcome)
    assert "1 classes have fewer than 14 examples" in few.detail["note"]
    rows = draw_episodes(labels, 3, 2, 12, episodes=9, seed=0)
    assert set(labels[rows].ravel()) == {0, 1, 2}
    assert many == Skipped(
        "0 classes have 21 examples, 9 shots and 12 queries, fewer than the 3 of an "
        "episode"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ways": 1}, "ways = 1 must be at least 2"),
        ({"shots": (1, 0)}, r"shots = \(1, 0\) must be at least 1"),
        ({"shots": ()}, r"shots = \(\) must hold at least one"),
        ({"queries": 0}, "queries = 0 must be"),
        ({"episodes": 1}, "episodes = 1 must be at least 2"),
        ({"inverse_strength": 0.0}, "inverse_strength = 0.0 must be"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        few_shot(**settings)
