"""Errors of a classifier, among all classes or those that occur, and mCE by hand."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data.arrays import arrays
from jax_ssl.data.corruption_kinds import KINDS
from jax_ssl.evaluate.part import part_of
from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.evaluate.robustness import ALEXNET, classifier_error, summary, tasks
from jax_ssl.evaluate.suite import Asked, Lacking

SCORES = np.array([[9, 1, 2, 0], [0, 5, 6, 9], [1, 4, 3, 8], [7, 0, 1, 0]], float)


def error(labels, **settings):
    part = part_of(SCORES, label=np.array(labels, np.int32))
    (found,) = classifier_error(4, **settings).run(part, part)
    return found


def test_errors_among_all_classes_and_among_those_that_occur():
    # Of the second and third image class 3 has the best score; where it does not occur,
    # classes 2 and 1.
    assert error([0, 2, 1, 0]).values == {"error": 0.5}
    assert error([0, 2, 1, 0], among_present=True).values == {"error": 0.0}
    assert error([0, 2, 2, 0], among_present=True).values == {"error": 0.0}
    assert error([0, 1, 2, 3], among_present=True).values == {"error": 0.75}
    # A class that the classifier has not is never named.
    assert error([0, 9, 9, 9], among_present=True).values == {"error": 0.75}
    assert isinstance(error([9, 9, 9, 9]), Skipped)


def evaluations(clean, errors):
    def one(word, value, **settings):
        row = {"features": "trained", "error": value, "std": None, "detail": {}}
        return {
            "protocol": f"robustness: {word}",
            "title": f"{word}, error",
            "settings": settings,
            "metrics": [{"name": "error", "unit": "%", "better": "lower"}],
            "rows": [row],
        }

    found = [one("clean", clean)]
    for kind, values in errors.items():
        words = kind.replace("_", " ")
        for severity, value in enumerate(values, 1):
            own = {"corruption": kind, "severity": severity}
            found.append(one(f"{words} {severity}", value, **own))
    return found


def asked(classes, baseline=None):
    return Asked(
        data_dir=pathlib.Path(), side=32, classes=("x",) * classes, baseline=baseline
    )


def test_mce_is_the_mean_of_errors_relative_to_alexnet(rng):
    errors = {kind: rng.uniform(0.3, 0.9, 5) for kind in KINDS}
    found = summary(asked(1000), evaluations(0.25, errors))
    assert len(found) == 1 + 15 + 1
    told = {each["title"]: each for each in found}
    row = told["gaussian noise, error"]["rows"][0]
    assert row["error"] == pytest.approx(errors["gaussian_noise"].mean())
    assert row["detail"]["severities"] == errors["gaussian_noise"].tolist()
    mce = told["mCE"]["rows"][0]
    ratios = [errors[kind].mean() / ALEXNET[kind] for kind in KINDS]
    assert mce["mce"] == pytest.approx(np.mean(ratios))
    relative = [(errors[k].mean() - 0.25) / (ALEXNET[k] - 0.435) for k in KINDS]
    assert mce["relative_mce"] == pytest.approx(np.mean(relative))
    assert told["mCE"]["settings"] == {"baseline": "AlexNet"}


def test_alexnet_itself_has_an_mce_of_one():
    errors = {kind: [value] * 5 for kind, value in ALEXNET.items()}
    found = summary(asked(1000), evaluations(0.435, errors))[-1]["rows"][0]
    assert (found["mce"], found["relative_mce"]) == pytest.approx((1, 1))


def test_another_run_can_be_the_baseline(tmp_path):
    errors = {kind: [0.4] * 5 for kind in KINDS}
    base = summary(asked(10), evaluations(0.2, errors))
    assert [each["title"] for each in base if each["title"] == "mCE"] == []
    file = tmp_path / "first" / "results.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"evaluations": base}))
    better = {kind: [0.3] * 5 for kind in KINDS}
    found = summary(asked(10, file), evaluations(0.25, better))[-1]
    assert found["settings"] == {"baseline": "first"}
    assert found["rows"][0]["mce"] == pytest.approx(0.75)
    assert found["rows"][0]["relative_mce"] == pytest.approx(0.25)
    file.write_text(json.dumps({"evaluations": base[:3]}))
    with pytest.raises(ValueError, match="holds no errors of all corruptions"):
        summary(asked(10, file), evaluations(0.25, better))
    with pytest.raises(FileNotFoundError, match="--baseline"):
        summary(asked(10, tmp_path / "none"), evaluations(0.25, better))
    perfect = {**errors, "snow": [0.0] * 5}
    file.write_text(
        json.dumps({"evaluations": summary(asked(10), evaluations(0.2, perfect))})
    )
    with pytest.raises(ValueError, match="no error at all on snow"):
        summary(asked(10, file), evaluations(0.25, better))
    # Of some kinds alone there is no mean.
    few = {"fog": [0.3] * 5}
    assert len(summary(asked(10, file), evaluations(0.25, few))) == 2


def test_published_files_take_the_place_of_made_ones_and_classes_go_by_name(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    made = arrays({"image": images, "label": np.arange(4, dtype=np.int32)})
    place = tmp_path / "imagenet-c" / "weather" / "fog" / "2" / "c"
    place.mkdir(parents=True)
    Image.fromarray(images[0]).save(place / "x.png")
    (tmp_path / "imagenet-r" / "d").mkdir(parents=True)
    Image.fromarray(images[1]).save(tmp_path / "imagenet-r" / "d" / "y.png")
    question = Asked(
        data_dir=tmp_path,
        sets=("fog", "imagenet_r", "imagenet_a"),
        side=16,
        test=made,
        classes=("a", "b", "c", "d"),
    )
    found = {each.title: each for each in tasks(question)}
    titles = [f"fog {severity}" for severity in range(1, 6)]
    assert list(found) == ["clean", *titles, "ImageNet-A", "ImageNet-R"]
    assert isinstance(found.pop("ImageNet-A"), Lacking)
    assert {title: len(each.test) for title, each in found.items()} == {
        **dict.fromkeys(("clean", *titles), 4),
        "fog 2": 1,
        "ImageNet-R": 1,
    }
    (row,) = found["fog 2"].test[np.array([0])]["label"]
    assert row == 2
    np.testing.assert_array_equal(
        found["fog 2"].test[np.array([0])]["image"][0], images[0]
    )
    assert found["ImageNet-R"].test[np.array([0])]["label"] == [3]
    (tmp_path / "imagenet-a" / "other").mkdir(parents=True)
    Image.fromarray(images[1]).save(tmp_path / "imagenet-a" / "other" / "z.png")
    last = [each for each in tasks(question) if each.title == "ImageNet-A"]
    assert "'other'" in last[0].reason


def test_a_severity_that_cannot_be_judged_leaves_no_mce_and_mixtures_are_said():
    errors = {kind: [0.4] * 5 for kind in KINDS}
    found = evaluations(0.2, errors)
    for each in found[1:6]:  # Of gaussian noise, one severity was read.
        each["settings"]["published"] = each["settings"]["severity"] == 2
    del found[3]  # The third severity.
    found[3]["rows"][0]["error"] = 0.8
    told = {each["title"]: each for each in summary(asked(1000), found)}
    assert "mCE" not in told
    row = told["gaussian noise, error"]["rows"][0]
    assert row["error"] == pytest.approx((0.4 + 0.4 + 0.8 + 0.4) / 4)
    assert "lacks severity 3" in row["detail"]["note"]
    assert "severity 2 is read from imagenet-c" in row["detail"]["note"]
    assert "note" not in told["fog, error"]["rows"][0]["detail"]
    # Nor is there one beside a test part of which nothing could be read.
    whole = evaluations(0.2, errors)[1:]
    assert len(summary(asked(1000), whole)) == len(KINDS)


def test_a_broken_folder_of_published_files_is_left_out_and_the_others_are_judged(
    tmp_path,
):
    images = np.zeros((2, 16, 16, 3), np.uint8)
    made = arrays({"image": images, "label": np.arange(2, dtype=np.int32)})
    fog = tmp_path / "imagenet-c" / "weather" / "fog"
    (fog / "1").mkdir(parents=True)
    (fog / "3" / "other").mkdir(parents=True)
    Image.fromarray(images[0]).save(fog / "3" / "other" / "x.png")
    own = {"data_dir": tmp_path, "sets": ("fog",), "side": 16, "test": made}
    question = Asked(**own, classes=("a", "b"))
    found = {each.title: each for each in tasks(question)}
    lacking = {t: e.reason for t, e in found.items() if isinstance(e, Lacking)}
    assert list(lacking) == ["fog 1", "fog 3"]
    assert "holds no image" in lacking["fog 1"]
    assert "imagenet-c, fog 3 has the class 'other'" in lacking["fog 3"]
    # What the message proposes is obeyed.
    dropped = Asked(**own, classes=("a", "b"), unknown="drop")
    third = {each.title: each for each in tasks(dropped)}["fog 3"]
    assert third.test[np.array([0])]["label"] == [-1]
    assert "'other'" in third.note
