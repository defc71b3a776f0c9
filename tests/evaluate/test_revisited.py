"""The rules of revisited Oxford and Paris on rankings whose precision is known."""

import json
import pathlib

import numpy as np
import pytest

from jax_ssl.evaluate.part import part_of
from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.evaluate.revisited import (
    Answers,
    answers,
    average_precision,
    means,
    places_of,
    precision_at,
    revisited,
)

NONE = np.zeros(0, int)


def of(*positives, junk=()):
    return Answers(np.array(positives, int), np.array(junk, int))


@pytest.mark.parametrize(
    ("setup", "positives", "junk"),
    [
        ("easy", {1, 2}, {3, 4, 5}),
        ("medium", {1, 2, 3}, {4, 5}),
        ("hard", {3}, {1, 2, 4, 5}),
    ],
)
def test_the_three_setups_share_out_the_images(setup, positives, junk):
    found = answers(np.array([1, 2]), np.array([3]), np.array([4, 5]), setup)
    assert set(found.positives) == positives
    assert set(found.junk) == junk


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0], 1),
        ([0, 1, 2], 1),
        # Before the second place the precision is 0, at it 1/2.
        ([1], 1 / 4),
        # 1 at the first; then (1/2 + 2/3) / 2.
        ([0, 2], (1 + 7 / 12) / 2),
        # 0 and 1/10; then 1/10 and 2/11.
        ([9, 10], (1 / 20 + (1 / 10 + 2 / 11) / 2) / 2),
    ],
)
def test_the_trapezoids_by_hand(places, expected):
    assert average_precision(np.array(places)) == pytest.approx(expected, abs=1e-15)


def test_the_trapezoids_are_those_of_the_whole_curve(rng):
    """The area under the line through (recall, precision) at every place."""
    right = rng.uniform(size=50) < 0.3
    found = np.cumsum(right)
    recall = np.append(0, found / found[-1])
    precision = np.append(1, found / np.arange(1, 51))
    area = np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2)
    assert average_precision(np.flatnonzero(right)) == pytest.approx(area, abs=1e-12)


def test_junk_is_taken_out_of_the_ranking():
    ranking = np.array([7, 3, 8, 1, 0, 2])
    np.testing.assert_array_equal(places_of(ranking, of(3, 0)), [1, 4])
    np.testing.assert_array_equal(places_of(ranking, of(3, 0, junk=[7, 8])), [0, 2])
    np.testing.assert_array_equal(places_of(ranking, of(2, junk=[7, 3, 8, 1, 0])), [0])


def test_hard_images_first_are_perfect_in_every_setup_but_for_the_easy_ones_after():
    ranking, easy, hard = np.arange(6), np.array([2, 3]), np.array([0, 1])
    for setup in ("easy", "medium", "hard"):
        wanted = answers(easy, hard, NONE, setup)
        assert average_precision(places_of(ranking, wanted)) == 1


@pytest.mark.parametrize(
    ("places", "k", "expected"),
    [
        ([0, 3], 1, 1),
        ([0, 3], 3, 1 / 3),
        ([0, 3], 10, 2 / 4),  # The last positive is in the fourth place.
        ([0, 1], 5, 1),
        ([6], 5, 0),
    ],
)
def test_precision_at_k_by_hand(places, k, expected):
    assert precision_at(np.array(places), k) == pytest.approx(expected, abs=1e-15)


def test_a_query_without_a_positive_is_left_out_of_the_means():
    ranking = np.arange(4)
    found = means([ranking] * 3, [of(1), of(junk=[0]), of(0, 1)], (1, 2))
    assert found == {
        "map": (1 / 4 + 1) / 2,
        "precision_at_1": 1 / 2,
        "precision_at_2": (1 / 2 + 1) / 2,
    }
    assert means([ranking], [of()], (1,)) == {"map": None, "precision_at_1": None}


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="1 of 2 positives are not in the ranking"):
        places_of(np.arange(3), of(2, 9))
    with pytest.raises(ValueError, match="setup = 'heavy' must be one of 'easy'"):
        answers(NONE, NONE, NONE, "heavy")
    with pytest.raises(ValueError, match="k = 0 must be at least 1"):
        precision_at(np.array([0]), 0)


def drawn(tmp_path, number=5):
    """Features of 40 photographs and 5 queries, and the file of their truth."""
    rng = np.random.default_rng(7)
    x, q = rng.normal(size=(40, 4)), rng.normal(size=(5, 4))
    truths = []
    for i in range(5):
        order = rng.permutation(40).tolist()
        q[i] = x[order[3]] + 0.8 * q[i]
        easy = [] if i == 2 else order[:3]
        box = {"bbx": [0, 0, 9, 9]}
        truths.append({"easy": easy, "hard": order[3:7], "junk": order[7:10], **box})
    content = {"imlist": [str(i) for i in range(40)], "qimlist": list("abcde")}
    file = tmp_path / "gnd.json"
    file.write_text(json.dumps({**content, "gnd": truths}))
    return x, q[:number], str(file)


# What compute_map of filipradenovic/revisitop, python/evaluate.py, says of them: mean
# average precision, and mean precision at 1, 5 and 10.
JUDGED = {
    "easy": (0.08619903630320297, 0.0, 0.0, 0.075),
    "medium": (0.31948760214758576, 0.4, 0.4, 0.24),
    "hard": (0.3150953520852298, 0.4, 0.4, 0.22),
}


def test_the_protocol_says_what_the_authors_program_says(tmp_path):
    x, q, file = drawn(tmp_path)
    found = list(revisited(ground_truth=file).run(part_of(x), part_of(q)))
    assert [each.title for each in found] == list(JUDGED)
    for each in found:
        assert [*each.values.values()] == pytest.approx(JUDGED[each.title], abs=1e-6)
    assert [each.detail["queries"] for each in found] == [4, 5, 5]


def test_distractors_are_wrong_for_every_query(tmp_path):
    x, q, file = drawn(tmp_path)
    # Nearer to the first query than all photographs, or farther than all of them.
    for added, before in ((q[[0]], 1), (-q[[0]], 0)):
        protocol = revisited(ground_truth=file, distractors=1)
        parts = part_of(np.concatenate([x, added])), part_of(q[[0, 1, 2, 3, 4]])
        found = next(iter(protocol.run(*parts)))
        assert found.title == "easy, 1 distractor"
        assert found.settings["distractors"] == 1
        truth = json.loads(pathlib.Path(file).read_text())["gnd"]
        unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)
        scores = unit(q) @ unit(np.concatenate([x, added])).T
        areas = []
        for row, own in zip(scores, truth, strict=True):
            order = [i for i in np.argsort(-row) if i not in own["hard"] + own["junk"]]
            places = np.flatnonzero(np.isin(order, own["easy"]))
            if len(places):
                areas.append(average_precision(places))
        assert found.values["map"] == pytest.approx(np.mean(areas), abs=1e-6)
        assert (np.argsort(-scores[0])[0] == 40) == bool(before)
    (skipped,) = revisited(ground_truth=file, distractors=2).run(*parts)
    assert "40 of the data base + 2 distractors and 5 queries" in skipped.reason


def test_parts_of_another_source_are_not_judged(tmp_path):
    x, q, file = drawn(tmp_path, number=4)
    (skipped,) = revisited(ground_truth=file).run(part_of(x), part_of(q))
    assert isinstance(skipped, Skipped)
    assert "40 and 4 images, and the ground truth 40 " in skipped.reason
    with pytest.raises(FileNotFoundError, match="is not a file"):
        revisited(ground_truth=file + "x")
    with pytest.raises(ValueError, match="precisions_at"):
        revisited(ground_truth=file, precisions_at=(0,))
