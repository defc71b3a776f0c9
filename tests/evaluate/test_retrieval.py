"""Retrieval against a loop in float64, scikit-learn, and closed forms."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.evaluate.retrieval import retrieval
from tests.evaluate.digits import judged, labelled


def drawn(rng, count, classes=4):
    centers = np.eye(classes, 6)
    labels = rng.integers(0, classes, count)
    return labelled(centers[labels] + 0.6 * rng.normal(size=(count, 6)), labels)


def cosines(train, test):
    a, b = (x.features.astype(np.float64) for x in (test, train))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    return a @ b.T


def test_a_whole_ranking_is_scikit_learns(rng):
    train, test = drawn(rng, 60), drawn(rng, 23)
    (found,) = judged(retrieval(), train, test)
    expected = [
        average_precision_score(train.labels == label, row)
        for label, row in zip(test.labels, cosines(train, test), strict=True)
    ]
    assert found.values["map"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_the_first_places_match_a_loop(rng):
    train, test = drawn(rng, 60), drawn(rng, 23)
    protocol = retrieval(recall_at=(1, 3), depth=7)
    (found,) = judged(protocol, train, test)
    precisions, recalls = [], {1: [], 3: []}
    for label, row in zip(test.labels, cosines(train, test), strict=True):
        right = train.labels[np.argsort(-row)][:7] == label
        total = sum(right[: i + 1].mean() for i in range(7) if right[i])
        precisions.append(total / min((train.labels == label).sum(), 7))
        for k, hits in recalls.items():
            hits.append(right[:k].any())
    assert found.values["map"] == pytest.approx(np.mean(precisions))
    for k, hits in recalls.items():
        assert found.values[f"recall_at_{k}"] == pytest.approx(np.mean(hits))


def test_perfect_and_hopeless_features():
    train = labelled(np.eye(3).repeat(4, 0), np.arange(3).repeat(4))
    (perfect,) = judged(retrieval(recall_at=(1,)), train, train)
    assert perfect.values == {"map": 1.0, "recall_at_1": 1.0}
    # Every query lies upon another class: its own come in the last four places of 8.
    two = labelled(np.eye(2).repeat(4, 0), np.arange(2).repeat(4))
    swapped = labelled(np.eye(2), [1, 0])
    (found,) = judged(retrieval(recall_at=(1, 5)), two, swapped)
    last = np.mean([(i + 1) / (i + 5) for i in range(4)])
    assert found.values["map"] == pytest.approx(last)
    assert found.values["recall_at_1"] == 0
    assert found.values["recall_at_5"] == 1


def test_queries_without_a_right_answer_are_named(rng):
    train, test = drawn(rng, 30), drawn(rng, 8)
    strange = labelled(test.features, np.where(np.arange(8) < 3, 9, test.labels))
    rest = labelled(test.features[3:], test.labels[3:])
    (found,), (expected,) = (judged(retrieval(), train, x) for x in (strange, rest))
    assert found.values == expected.values
    assert "3 queries" in found.detail["note"]
    (nothing,) = judged(retrieval(), train, labelled(test.features, np.full(8, 9)))
    assert isinstance(nothing, Skipped)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"depth": 0}, "depth = 0"),
        ({"recall_at": (5,), "depth": 3}, "depth = 3"),
        ({"recall_at": ()}, r"recall_at = \(\) must hold at least one"),
    ],
)
def test_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        retrieval(**settings)
