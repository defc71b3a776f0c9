"""Average precision: COCO's against pycocotools, Pascal VOC's by hand."""

import contextlib
import io

import numpy as np
import pytest

from jax_ssl.evaluate.boxes import Picture, coco, voc

K = 3
# What pycocotools 2.0.11 says of `drawn(0)`, sizes being areas of the boxes.
SAID = (
    *(0.41624089, 0.51629342, 0.51183797, 0.0, 0.40108282, 0.80295458),
    *(0.43371212, 0.6909632, 0.6909632, 0.0, 0.63444444, 0.95555556),
)


def drawn(seed, pictures=12):
    """Pictures of boxes of all sizes, and what a middling detector might find."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(pictures):
        number = int(rng.integers(0, 7))
        corner, side = (
            rng.uniform(0, 200, (number, 2)),
            rng.uniform(5, 180, (number, 2)),
        )
        classes = rng.integers(0, K, (number, 1))
        true = np.concatenate([classes, corner, corner + side], 1).round(1)
        crowd = rng.random(number) < 0.2
        seen = true[np.repeat(np.arange(number), 3)]
        seen = seen[rng.random(len(seen)) < 0.7]
        shaken = seen[:, 1:] + rng.normal(0, 8, (len(seen), 4)) * rng.random()
        shaken[:, 2:] = np.maximum(shaken[:, 2:], shaken[:, :2] + 1)
        kinds = np.where(rng.random(len(seen)) < 0.85, seen[:, 0], rng.integers(0, K))
        scores = rng.random(len(seen)).round(2)  # Some are equal.
        rows = np.concatenate([kinds[:, None], scores[:, None], shaken], 1)
        found.append(Picture(rows, true[~crowd], true[crowd]))
    return found


def by_pycocotools(pictures):
    """The twelve numbers by the authors' code."""
    tools = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    def boxed(corners):
        x, y, right, bottom = map(float, corners)
        return {
            "bbox": [x, y, right - x, bottom - y],
            "area": (right - x) * (bottom - y),
        }

    true, found = [], []
    for image, picture in enumerate(pictures):
        for crowd, rows in enumerate((picture.true, picture.ignored)):
            for number, *corners in rows:
                place = {"image_id": image, "category_id": int(number) + 1}
                true.append(
                    {"id": len(true) + 1, "iscrowd": crowd, **place, **boxed(corners)}
                )
        for number, score, *corners in picture.found:
            place = {"image_id": image, "category_id": int(number) + 1}
            found.append({**place, "score": score, "bbox": boxed(corners)["bbox"]})
    with contextlib.redirect_stdout(io.StringIO()):
        data = tools.COCO()
        data.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(pictures))],
            "annotations": true,
            "categories": [{"id": i + 1} for i in range(K)],
        }
        data.createIndex()
        judge = COCOeval(data, data.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [None if value == -1 else value for value in judge.stats]


@pytest.mark.parametrize("seed", range(4))
def test_cocos_numbers_are_those_of_pycocotools(seed):
    pictures = drawn(seed)
    expected = by_pycocotools(pictures)
    np.testing.assert_allclose([*coco(pictures, K).values()], expected, atol=1e-12)


def test_cocos_numbers_are_those_that_pycocotools_once_said():
    np.testing.assert_allclose([*coco(drawn(0), K).values()], SAID, atol=1e-6)


def test_what_is_found_exactly_scores_one():
    pictures = drawn(1)
    perfect = [
        Picture(np.insert(p.true, 1, 1.0, axis=1), p.true, p.ignored) for p in pictures
    ]
    said = coco(perfect, K)
    assert {said[name] for name in ("ap", "ap50", "ap75", "ap_large", "ar_100")} == {
        1.0
    }
    assert voc(perfect, K) == (1.0, 1.0)
    nothing = [Picture(np.zeros((0, 6)), p.true, p.ignored) for p in pictures]
    assert coco(nothing, K)["ap"] == 0
    assert voc(nothing, K) == (0.0, 0.0)


def test_without_true_boxes_there_is_no_number():
    empty = [Picture(np.array([[0, 0.5, 0, 0, 9, 9]]), np.zeros((0, 5)))]
    assert set(coco(empty, K).values()) == {None}
    assert voc(empty, K) == (None, None)


def test_vocs_numbers_by_hand():
    box = np.array([[0.0, 0, 0, 10, 10], [0, 20, 0, 30, 10], [0, 40, 0, 50, 10]])
    at = lambda score, x: [0.0, score, x, 0, x + 10, 10]
    # Right, twice the same (wrong), wrong, right: precisions 1, 1/2, 1/3, 1/2.
    found = np.array([at(0.9, 0), at(0.8, 1), at(0.7, 70), at(0.6, 20)])
    eleven, every = voc([Picture(found, box)], 1)
    assert every == pytest.approx(1 / 3 * 1 + 1 / 3 * 0.5)
    # Recalls 0 to 0.3 are reached at precision 1, those to 0.6 at 1/2.
    assert eleven == pytest.approx((4 * 1 + 3 * 0.5) / 11)
    # A difficult box is neither missed nor found.
    eleven, every = voc([Picture(found, box[[0, 2]], box[[1]])], 1)
    assert every == pytest.approx(0.5)
