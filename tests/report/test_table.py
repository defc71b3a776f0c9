"""The table of evaluations, as the terminal shows it."""

from jax_ssl.report import format_table
from jax_ssl.report.table import evaluation_of, evaluation_table, title_of, values_of
from tests.report.inputs import RESULTS


def test_the_table_is_aligned_and_says_remarks_and_what_was_skipped():
    assert format_table(RESULTS, method="simclr") == (
        "simclr   metric            trained   untrained encoder   raw pixels\n"
        "──────   ────────   ──────────────   ─────────────────   ──────────\n"
        "20-NN    accuracy   92.71 %             41.83 % ± 0.42      35.21 %\n"
        "linear   accuracy   66.67 % ± 0.12            –             75.00 %\n"
        "depth    abs rel      0.125 ± 0.01            –                 0.5\n"
        "         rmse         4.5 m                   –              4.25 m\n"
        "\n"
        "cosine, votes exp(s / 0.1)\n"
        "Skipped few label, stereo: a class has < 10 labels"
    )


def test_notes_of_rows_are_said():
    rows = [
        {"features": "trained", "accuracy": 0.5, "detail": {"note": "at the edge."}}
    ]
    results = {"evaluations": [{"protocol": "linear", "rows": rows}]}
    assert format_table(results).endswith("linear, trained: at the edge.")


def test_an_empty_result_has_a_table_too():
    assert format_table({"evaluations": [], "skipped": []}) == "nothing was evaluated"


def test_old_evaluations_without_a_title_are_told_apart():
    old = {"protocol": "few_label", "settings": {"labels_per_class": 5, "draws": 20}}
    assert title_of(old) == "few label, labels per class 5"
    assert title_of({"protocol": "linear", "settings": {"rates": [1]}}) == "linear"
    assert title_of({**old, "title": "5 labels"}) == "5 labels"


def test_unknown_kinds_of_features_follow_and_are_controls():
    rows = [
        {"features": name, "accuracy": value}
        for name, value in (("gabor", 0.5), ("trained", 0.75), ("pixels", "nan"))
    ]
    table = evaluation_table([{"protocol": "knn", "rows": rows}])
    assert table.head[2:] == [
        *("trained", "raw pixels", "gabor"),
        *("trained minus raw pixels", "trained minus gabor"),
    ]
    assert [cell.text for cell in table.rows[0][2:]] == [
        *("75.00 %", "–", "50.00 %", "–", "+25.00")
    ]


def test_records_during_training_are_read_by_their_metric():
    old = evaluation_of({"protocol": "knn", "accuracy": 0.5, "pixels": 0.25})
    assert old["metrics"] == [{"name": "accuracy", "unit": "%"}]
    assert values_of(old, old["metrics"][0]) == {"trained": 0.5, "pixels": 0.25}
    flow = {"protocol": "flow", "metric": "epe", "unit": "px", "epe": 3.0}
    assert evaluation_of(flow)["metrics"] == [{"name": "epe", "unit": "px"}]
