"""Photographs and queries of revisited Oxford: order, boxes, and what is refused."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data.revisited import ground_truth, revisited


def truths():
    """Two queries on four photographs, in the form of the published file."""
    return {
        "imlist": ["all_souls_1", "bodleian_2", "bodleian_3", "radcliffe_4"],
        "qimlist": ["all_souls_0", "bodleian_0"],
        "gnd": [
            {
                "bbx": np.array([10.0, 4.0, 30.4, 23.6]),
                "easy": np.array([0]),
                "hard": np.array([], np.int64),
                "junk": np.array([3]),
            },
            {"bbx": [0, 0, 40, 30], "easy": [1], "hard": [2], "junk": []},
        ],
    }


@pytest.fixture
def oxford(tmp_path):
    root = tmp_path / "roxford5k"
    (root / "jpg").mkdir(parents=True)
    content = truths()
    for number, name in enumerate([*content["imlist"], *content["qimlist"]]):
        pixels = np.full((30, 40, 3), 20 + 30 * number, np.uint8)
        if name == "all_souls_0":
            pixels[4:24, 10:30] = 250  # The building.
        Image.fromarray(pixels).save(root / "jpg" / f"{name}.jpg", quality=100)
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(content, protocol=2))
    return root


def test_rows_are_in_the_order_of_the_ground_truth(oxford):
    source = revisited(path=str(oxford), split="database", canvas=64)
    assert len(source) == 4
    rows = source[np.array([2, 0])]
    assert rows["size"].tolist() == [[30, 40]] * 2
    np.testing.assert_allclose(rows["image"][:, 15, 20, 0], [80, 20], atol=2)


def test_distractors_follow_the_data_base(oxford, tmp_path):
    for number, place in enumerate(("b/1.jpg", "a/2.jpg")):
        file = tmp_path / "million" / place
        file.parent.mkdir(parents=True)
        Image.fromarray(np.full((30, 40, 3), 200 + 20 * number, np.uint8)).save(file)
    settings = {"path": str(oxford), "distractors": str(tmp_path / "million")}
    source = revisited(split="database", canvas=64, **settings)
    assert (len(source), source.name) == (6, "roxford5k database + 2 distractors")
    shades = source[np.array([3, 4, 5])]["image"][:, 15, 20, 0]
    np.testing.assert_allclose(shades, [110, 220, 200], atol=2)
    assert len(revisited(split="queries", canvas=64, **settings)) == 2


def test_queries_are_cut_to_their_box_and_then_shrunk(oxford):
    source = revisited(path=str(oxford), split="queries", canvas=64)
    rows = source[np.arange(2)]
    # Edges are rounded as Pillow's crop does.
    assert rows["size"].tolist() == [[20, 20], [30, 40]]
    assert rows["image"][0, :20, :20].min() > 240
    small = revisited(path=str(oxford), split="queries", canvas=10)
    assert small[np.arange(1)]["size"].tolist() == [[10, 10]]


def test_json_and_pickles_of_any_protocol_say_the_same(oxford):
    found = [ground_truth(str(oxford))]
    content = truths()
    for protocol in (0, 4):
        file = oxford.parent / f"gnd_{protocol}.pkl"
        file.write_bytes(pickle.dumps(content, protocol=protocol))
        found.append(ground_truth(str(file)))
    content["gnd"] = [
        {word: np.asarray(values).tolist() for word, values in each.items()}
        for each in content["gnd"]
    ]
    (oxford.parent / "gnd.json").write_text(json.dumps(content))
    found.append(ground_truth(str(oxford.parent / "gnd.json")))
    for each in found:
        assert each.images == found[0].images
        assert [query.name for query in each.queries] == ["all_souls_0", "bodleian_0"]
        assert each.queries[0].box == (10.0, 4.0, 30.4, 23.6)
        assert each.queries[1].hard.tolist() == [2]


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/jax_ssl_was_here",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: Evil(), "system, which is refused"),
        (lambda c: {**c, "gnd": c["gnd"][:1]}, "2 queries have 1 truths"),
        (lambda c: {**c, "imlist": c["imlist"][:3]}, "junk photograph 3, of 3"),
        (lambda c: {"imlist": []}, "'qimlist'"),
        (lambda c: b"", "is no ground truth"),
        (
            lambda c: {**c, "gnd": [{**c["gnd"][0], "bbx": [5, 5, 5, 9]}, c["gnd"][1]]},
            "empty box",
        ),
        (
            lambda c: {**c, "gnd": [{**c["gnd"][0], "junk": [3, 0]}, c["gnd"][1]]},
            "query all_souls_0 has photograph 0 twice",
        ),
    ],
)
def test_what_is_no_ground_truth_is_refused(tmp_path, change, said):
    file = tmp_path / "gnd_x.pkl"
    file.write_bytes(pickle.dumps(change(truths())))
    with pytest.raises(ValueError, match=said):
        ground_truth(str(file))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"gnd_x\.pkl is no ground truth"):
        ground_truth(str(file))


def test_what_is_not_there_is_named(oxford):
    (oxford / "jpg" / "bodleian_3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 .*bodleian_3\.jpg"):
        revisited(path=str(oxford), split="database")
    with pytest.raises(FileNotFoundError, match=r"holds 0 files gnd_\*\.pkl"):
        revisited(path=str(oxford / "jpg"), split="database")
    with pytest.raises(ValueError, match="split = 'test' must be one of 'database'"):
        revisited(path=str(oxford), split="test")
