"""Boxes on pictures: where their frames are, in which colour, and what is said."""

import types

import matplotlib as mpl
import numpy as np

from jax_ssl.core.fields import Field
from jax_ssl.report.boxed import boxed
from jax_ssl.run import predicted as module

BLACK = np.zeros((1, 24, 48, 3), np.uint8)  # 192 / 24 = 8 pixels of a tile for each.
NAMES = ("ant", "bee")
# Class, score, left, top, right, bottom; the second of too low a score, the last none.
FOUND = np.array(
    [[[0, 0.4, 2, 3, 10, 9], [1, 0.2, 0, 0, 4, 4], [1, 0.9, 20, 5, 40, 20], [-1] * 6]]
)


def color(number):
    return (255 * np.array(mpl.colormaps["tab10"](number)[:3])).round()


def test_frames_are_where_the_boxes_are_in_the_colour_of_their_class():
    column = boxed("predicted", BLACK, FOUND, NAMES, scored=True)
    (drawn,) = column.values
    assert drawn.shape == (192, 384, 3)
    for row in FOUND[0][[0, 2]]:
        left, top, right, bottom = (8 * row[2:]).astype(int)
        middle = (top + bottom) // 2, (left + right) // 2
        for at in (
            (top, middle[1]), (bottom - 1, middle[1]),
            (middle[0], left), (middle[0], right - 1),
        ):  # fmt: skip
            np.testing.assert_allclose(drawn[at], color(int(row[0])), atol=1)
        assert not drawn[middle].any()
        assert not drawn[bottom + 1, middle[1]].any()
    assert not drawn[0, :32].any()  # Of too low a score.


def test_words_are_the_best_first_and_of_true_boxes_without_a_score():
    column = boxed("predicted", BLACK, FOUND, NAMES, scored=True)
    assert column.words == ["1 bee 0.90\n2 ant 0.40"]
    true = np.delete(FOUND, 1, axis=2)
    column = boxed("true", BLACK, true, None, scored=False)
    assert column.words == ["1 0\n2 1\n3 1"]
    nothing = boxed("predicted", BLACK, FOUND[:, 1:2], NAMES, scored=True)
    assert nothing.words == ["none of score 0.3 or more"]
    many = boxed("true", BLACK, true[:, [0] * 7], NAMES, scored=False)
    assert many.words[0].endswith("5 ant\nand 2 more")


def test_a_report_has_predicted_boxes_beside_true_ones(monkeypatch):
    field = Field("boxes", (4, 5), np.dtype("float32"), names=NAMES)
    source = types.SimpleNamespace(fields={"boxes": field})
    run = types.SimpleNamespace(
        experiment=types.SimpleNamespace(
            method=types.SimpleNamespace(predicts={"detections": None}),
            everything=source,
            evals=types.SimpleNamespace(test=None),
        )
    )
    seen = {"image": BLACK, "boxes": np.delete(FOUND, 1, axis=2)}
    monkeypatch.setattr(module, "sample", lambda *given: {})
    monkeypatch.setattr(module, "views_of", lambda *given: seen)
    monkeypatch.setattr(module, "predictions", lambda *given: {"detections": FOUND})
    ((title, grid),) = module.predicted(run, None, np.asarray)
    assert (title, grid.name) == ("Predictions: detections", "predicted_detections")
    assert [column.head for column in grid.columns] == ["predicted", "true"]
    assert grid.columns[1].words == ["1 ant\n2 bee\n3 bee"]
