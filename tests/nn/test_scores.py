"""Pictures of a teacher and its student, from scores whose softmax is known."""

import numpy as np

from jax_ssl.nn.scores import teacher_beside_student

# Scores are T log p + c, so that softmax(scores / T) is p.
TAUGHT = np.array([[0.5, 0.25, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4]])
SAID = np.array([[0.25, 0.25, 0.25, 0.25], [0.2, 0.2, 0.1, 0.5]])


def shown(temperature=1.0, **examples):
    scores = [temperature * np.log(p) + 3.0 for p in (TAUGHT, SAID)]
    examples = {"view": np.zeros((2, 4, 4, 3)), **examples}
    found = teacher_beside_student(examples, *scores, "Two.", temperature)
    assert list(found) == ["Teacher and student"]
    return found["Teacher and student"]


def test_columns_are_softened_probabilities_and_their_distance():
    for temperature, group in (
        (1.0, "probabilities"),
        (4.0, "probabilities at temperature 4"),
    ):
        found = shown(temperature)
        image, *bars = found.columns.values()
        assert image[0] == "view"
        heads = [f"{group}: {who}" for who in ("teacher", "student", "difference")]
        assert list(found.columns) == ["image", *heads]
        wanted = TAUGHT, SAID, [[0.25, 0, 0.125, 0.125], [0.1, 0, 0.2, 0.1]]
        for (kind, values), expected in zip(bars, wanted, strict=True):
            assert kind == "probabilities"
            np.testing.assert_allclose(values, expected, atol=1e-6)


def test_the_student_is_framed_and_known_labels_are_handed_on():
    labels = np.array([2, -1])
    found = shown(label=labels)
    (head,) = found.agrees
    assert head == "probabilities: student"
    # Of equal scores the first class is the most likely.
    np.testing.assert_array_equal(found.agrees[head], [True, True])
    np.testing.assert_array_equal(found.labels["image"], labels)
    assert shown().labels == {}
    other = teacher_beside_student({"view": labels}, TAUGHT, 1 - SAID, "")
    (agrees,) = other["Teacher and student"].agrees.values()
    np.testing.assert_array_equal(agrees, [True, False])
