"""The table of accuracies: trained features beside their controls."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jax_ssl.report.markup import flatten, fold, settings_table, text
from jax_ssl.report.quantities import DASH, is_number, percent, plural, points

PROTOCOLS = {"knn": "k-NN", "linear": "Linear probe", "few_label": "Few labels"}
FEATURES = {
    "trained": "Trained",
    "untrained": "Untrained encoder",
    "pixels": "Raw pixels",
}
CONTROLS = ("untrained", "pixels")

Row = Mapping[str, Any]


def protocol_name(protocol: Any) -> str:
    """A protocol's name as people write it."""
    return PROTOCOLS.get(str(protocol), str(protocol).replace("_", " "))


def accuracy_table(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """One line an evaluation: every kind of features, and trained minus each control.

    Args:
        evaluations: of results.json, at least one.

    Returns:
        HTML; a cell's `data-value` holds the unrounded fraction.
    """
    found = {row["features"] for e in evaluations for row in e["rows"]}
    kinds = [kind for kind in FEATURES if kind in found or kind == "trained"]
    kinds += sorted(found - set(kinds))
    controls = [kind for kind in CONTROLS if kind in found]
    body = "".join(
        _line(evaluation, rows, kinds, controls)
        for evaluation in evaluations
        for rows in _lines(evaluation["rows"])
    )
    gain = ""
    if controls:
        gain = f'<th scope="colgroup" colspan="{len(controls)}">Trained minus</th>'
    heads = "".join(f'<th scope="col" rowspan="2">{_kind_name(k)}</th>' for k in kinds)
    below = "".join(f'<th scope="col">{_kind_name(k).lower()}</th>' for k in controls)
    spread = any(is_number(row.get("std")) for e in evaluations for row in e["rows"])
    return (
        f'<table class="accuracy{" spread" if spread else ""}"><thead>'
        f'<tr><th scope="col" rowspan="2">Evaluation</th>{heads}{gain}</tr>'
        f"<tr>{below}</tr></thead><tbody>{body}</tbody></table>"
    )


def evaluation_details(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """Each evaluation's settings and the details of its rows, folded."""
    parts = []
    for evaluation in evaluations:
        content = {"settings": evaluation.get("settings") or {}}
        for row in evaluation["rows"]:
            if row.get("detail"):
                content[row["features"]] = row["detail"]
        if flatten(content):
            name = protocol_name(evaluation.get("protocol"))
            parts.append(fold(name, _where(evaluation), settings_table(content)))
    if not parts:
        return ""
    return fold(
        "Settings and details", plural(len(parts), "evaluation"), "".join(parts)
    )


def control_accuracies(
    records: Sequence[Mapping[str, Any]], protocol: str
) -> dict[str, float]:
    """Accuracies of the controls by name, from the last record by `protocol`.

    They are those of the same images as the curve's, which the final evaluation's,
    on the test part, are not.
    """
    same = [record for record in records if record.get("protocol") == protocol]
    last = same[-1] if same else {}
    return {
        _kind_name(kind).lower(): float(last[kind])
        for kind in CONTROLS
        if is_number(last.get(kind))
    }


def _lines(rows: Sequence[Row]) -> list[dict[str, Row]]:
    """Rows side by side: the i-th of every kind of features on the i-th line."""
    by_kind: dict[str, list[Row]] = {}
    for row in rows:
        by_kind.setdefault(row["features"], []).append(row)
    lines = itertools.zip_longest(*by_kind.values())
    return [
        {row["features"]: row for row in line if row is not None} for line in lines
    ] or [{}]


def _line(
    evaluation: Mapping[str, Any],
    rows: Mapping[str, Row],
    kinds: Sequence[str],
    controls: Sequence[str],
) -> str:
    settings = flatten(evaluation.get("settings") or {})
    said = "\N{NO-BREAK SPACE}· ".join(
        f"{name}\N{NO-BREAK SPACE}{value}" for name, value in settings[:4]
    )
    cells = "".join(_accuracy_cell(kind, rows.get(kind)) for kind in kinds)
    cells += "".join(_gain_cell(kind, rows) for kind in controls)
    return (
        f'<tr><th scope="row">{text(protocol_name(evaluation.get("protocol")))}'
        f"<small>{text(_where(evaluation))}</small>"
        f"<small>{text(said)}</small></th>{cells}</tr>"
    )


def _accuracy_cell(kind: str, row: Row | None) -> str:
    label = f'data-label="{_kind_name(kind)}"'
    accuracy = _accuracy(row)
    if row is None or accuracy is None:
        return f'<td {label} class="muted">{DASH}</td>'
    spread = f" ± {100 * row['std']:.2f}" if is_number(row.get("std")) else ""
    share = f"{100 * min(max(accuracy, 0), 1):.1f}%"
    return (
        f'<td {label} class="{"trained" if kind == "trained" else "control"}" '
        f'data-features="{text(kind)}" data-value="{accuracy!r}">'
        f'<span class="number">{percent(accuracy)}'
        f'<span class="std">{spread}</span></span>'
        f'<span class="bar" style="--share: {share}"></span></td>'
    )


def _gain_cell(control: str, rows: Mapping[str, Row]) -> str:
    label = f'data-label="Trained minus {_kind_name(control).lower()}"'
    trained, other = (_accuracy(rows.get(kind)) for kind in ("trained", control))
    if trained is None or other is None:
        return f'<td {label} class="muted">{DASH}</td>'
    gain = trained - other
    return (
        f'<td {label} class="gain" data-control="{text(control)}" '
        f'data-value="{gain!r}">{points(gain)}</td>'
    )


def _accuracy(row: Row | None) -> float | None:
    value = None if row is None else row.get("accuracy")
    return float(value) if value is not None and is_number(value) else None


def _kind_name(kind: str) -> str:
    return text(FEATURES.get(kind, str(kind).replace("_", " ").capitalize()))


def _where(evaluation: Mapping[str, Any]) -> str:
    parts = []
    if evaluation.get("split"):
        parts.append(f"{evaluation['split']} split")
    if is_number(evaluation.get("step")):
        parts.append(f"step {evaluation['step']:,}")
    return ", ".join(parts)
