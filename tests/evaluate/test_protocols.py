"""The whole evaluation on digits: its record, its skips, its printed table."""

import json

import numpy as np
import pytest

from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.protocols import evaluate_all
from jax_ssl.evaluate.table import format_table
from tests.evaluate.digits import digit_pixels, feature_set

LINEAR = {"learning_rates": (0.01, 0.1), "weight_decays": (0.0,), "epochs": 5}


@pytest.fixture(scope="module")
def kinds():
    """Pixels stand for trained features; noise, for the controls."""
    train, test = digit_pixels()
    rng = np.random.default_rng(0)

    def noise(part):
        return feature_set(rng.normal(size=part.features.shape), part.labels)

    return {"trained": (train, test), "untrained": (noise(train), noise(test))}


@pytest.fixture(scope="module")
def results(kinds):
    return evaluate_all(
        kinds, knn={"k": 20}, linear=LINEAR, few_label={"draws": 4}, step=70
    )


def test_the_record_is_that_of_results_json(kinds, results):
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert results["skipped"] == []
    named = [
        (e["protocol"], e["settings"].get("labels_per_class", e["settings"].get("k")))
        for e in results["evaluations"]
    ]
    assert named == [
        ("few_label", 1),
        ("few_label", 5),
        ("few_label", 10),
        ("knn", 1),
        ("knn", 20),
        ("linear", None),
    ]
    for evaluation in results["evaluations"]:
        assert (evaluation["split"], evaluation["step"]) == ("test", 70)
        trained, untrained = evaluation["rows"]
        assert (trained["features"], untrained["features"]) == ("trained", "untrained")
        # Whoever is right half the time here beats noise at chance, 0.1.
        assert trained["accuracy"] > 0.5 > 0.2 > untrained["accuracy"]
        spread = trained["std"]
        assert (spread is not None) == (evaluation["protocol"] == "few_label")


def test_every_row_is_the_protocols_own_answer(kinds, results):
    alone = knn(*kinds["trained"], k=20)
    nearest, weighted = results["evaluations"][3:5]
    assert nearest["rows"][0]["accuracy"] == alone["accuracy_nearest"]
    assert weighted["rows"][0]["accuracy"] == alone["accuracy"]
    assert weighted["rows"][0]["detail"]["accuracy_top5"] == alone["accuracy_top5"]
    assert weighted["settings"] == {"k": 20, "temperature": 0.1}


def test_settings_are_recorded_with_their_defaults(results):
    settings = results["evaluations"][-1]["settings"]
    assert settings["learning_rates"] == [0.01, 0.1]
    assert settings["batch_size"] == 256


def test_without_labels_everything_is_skipped(kinds):
    train, test = digit_pixels()
    bare = feature_set(test.features, None)
    found = evaluate_all({"trained": (train, bare)}, knn={}, linear={}, few_label={})
    assert found["evaluations"] == []
    assert {s["protocol"] for s in found["skipped"]} == {"knn", "linear", "few_label"}
    assert all("test images have no labels" in s["reason"] for s in found["skipped"])
    assert format_table(found).splitlines()[-1] == (
        "skipped linear: the test images have no labels"
    )


def test_a_single_class_is_skipped():
    part = feature_set(np.eye(4), np.full(4, 3))
    found = evaluate_all({"trained": (part, part)}, knn={})
    assert found["evaluations"] == []
    assert found["skipped"] == [
        {"protocol": "knn", "reason": "the training images are all of class 3"}
    ]


def test_what_is_too_small_is_skipped_and_the_rest_is_run():
    train = feature_set(np.eye(4), [0, 0, 1, 1])
    found = evaluate_all({"trained": (train, train)}, few_label={"draws": 2}, knn={})
    assert [e["settings"].get("k", 0) for e in found["evaluations"]] == [0, 1, 4]
    assert [s["reason"] for s in found["skipped"]] == [
        f"class 0 has 2 training images, fewer than {n} labels a class" for n in (5, 10)
    ]
    assert (
        "more than the 4 train" in found["evaluations"][-1]["rows"][0]["detail"]["note"]
    )
    lone = feature_set(np.eye(2), [0, 1])
    found = evaluate_all({"trained": (lone, lone)}, linear={})
    assert "no class has two training images" in found["skipped"][0]["reason"]


def test_features_that_are_not_finite_are_skipped_and_the_rest_is_run(kinds):
    train, test = kinds["trained"]
    broken = feature_set(np.where(train.features > 0.9, np.nan, 0), train.labels)
    found = evaluate_all(
        {"trained": (broken, test), **{"pixels": (train, test)}}, knn={}
    )
    assert [row["features"] for row in found["evaluations"][0]["rows"]] == ["pixels"]
    assert found["skipped"] == [
        {
            "protocol": "knn",
            "reason": "the trained features hold numbers that are not finite",
        }
    ]
    assert "–" not in format_table(found)


def test_wrong_settings_are_errors(kinds):
    with pytest.raises(ValueError, match=r"knn has no setting 'neighbours'; it has k,"):
        evaluate_all(kinds, knn={"neighbours": 3})
    with pytest.raises(ValueError, match=r"knn\.k = 0"):
        evaluate_all(kinds, knn={"k": 0})


def test_kinds_of_other_examples_are_refused(kinds):
    train, test = digit_pixels()
    short = feature_set(train.features[:50], train.labels[:50])
    with pytest.raises(ValueError, match="the pixels features are of 50 examples"):
        evaluate_all({"trained": (train, test), "pixels": (short, test)}, knn={})


def test_the_table_is_aligned_and_in_percent():
    def evaluation(protocol, settings, *rows):
        names = ("trained", "untrained", "pixels")
        rows = [
            {"features": n, "accuracy": a, "std": s, "detail": {}}
            for n, (a, s) in zip(names, rows, strict=True)
        ]
        return {
            "protocol": protocol,
            "settings": settings,
            "split": "test",
            "rows": rows,
        }

    results = {
        "evaluations": [
            evaluation("linear", {}, (1.0, None), (0.9, None), (0.9512, None)),
            evaluation(
                "few_label",
                {
                    "labels_per_class": 1,
                    "draws": 20,
                    "classifier": "nearest_neighbor",
                },
                (0.75, 0.031),
                (0.5, 0.104),
                (0.644, 0.069),
            ),
            evaluation(
                "knn",
                {"k": 200, "temperature": 0.1},
                (0.975, None),
                (0.921, None),
                (0.0, None),
            ),
            evaluation("knn", {"k": 1}, (0.98, None), (0.95, None), (0.981, None)),
        ],
        "skipped": [{"protocol": "few_label", "reason": "class 3 is small"}],
    }
    assert format_table(results, method="SimCLR") == (
        "accuracy on test, %           1 label   1-NN   200-NN   linear\n"
        + "─" * 62
        + "\n"
        "SimCLR, trained           75.0 ±  3.1   98.0     97.5    100.0\n"
        "same encoder, untrained   50.0 ± 10.4   95.0     92.1     90.0\n"
        "raw pixels                64.4 ±  6.9   98.1      0.0     95.1\n"
        "\n"
        "labels a class: nearest neighbor, mean ± standard deviation over 20 draws\n"
        "200-NN: cosine, votes exp(s / 0.1)\n"
        "skipped few-label: class 3 is small"
    )


def test_an_empty_result_has_a_table_too():
    assert format_table({"evaluations": [], "skipped": []}) == "nothing was evaluated"
