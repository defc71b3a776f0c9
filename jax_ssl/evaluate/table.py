"""The table of accuracies that ends a run."""

from collections.abc import Mapping, Sequence
from typing import Any

CONTROLS = {"untrained": "same encoder, untrained", "pixels": "raw pixels"}
ABSENT = "–"
GAP = "   "


def format_table(results: Mapping[str, Any], *, method: str = "") -> str:
    """Plain text of results.json: a row for each kind of features, in percent.

    Columns are the few-label accuracies (mean ± standard deviation over draws), 1-NN,
    k-NN and the linear probe, as far as they were run. Lines below name the settings
    and what was skipped.

    Args:
        results: what `evaluate_all` returned; of evaluations alike, the last counts.
        method: name of the method for the first row, "SimCLR".

    Returns:
        Lines without a trailing newline.
    """
    columns: dict[str, Mapping[str, Any]] = {}
    for evaluation in results.get("evaluations", ()):
        columns[_title(evaluation)] = evaluation
    titles = sorted(columns, key=lambda title: _place(columns[title]))
    found = {row["features"]: None for e in columns.values() for row in e["rows"]}
    order = ("trained", *CONTROLS)
    kinds = [kind for kind in order if kind in found]
    kinds += [kind for kind in found if kind not in order]
    lines: list[str] = []
    if titles:
        names = {"trained": f"{method}, trained" if method else "trained", **CONTROLS}
        splits = dict.fromkeys(str(e.get("split", "test")) for e in columns.values())
        head = [f"accuracy on {' and '.join(splits)}, %", *titles]
        body = [
            [names.get(kind, kind), *(_cell(columns[t], kind) for t in titles)]
            for kind in kinds
        ]
        lines += _aligned(head, body)
        lines += ["", *_remarks([columns[title] for title in titles])]
    lines += [
        f"skipped {skip['protocol'].replace('_', '-')}: {skip['reason']}"
        for skip in results.get("skipped", ())
    ]
    return "\n".join(lines).rstrip() or "nothing was evaluated"


def _title(evaluation: Mapping[str, Any]) -> str:
    settings = evaluation.get("settings") or {}
    if evaluation["protocol"] == "few_label":
        n = settings.get("labels_per_class", "few")
        return f"{n} label{'' if n == 1 else 's'}"
    if evaluation["protocol"] == "knn":
        return f"{settings.get('k', 'k')}-NN"
    return str(evaluation["protocol"])


def _place(evaluation: Mapping[str, Any]) -> tuple[int, int]:
    settings = evaluation.get("settings") or {}
    protocols = ("few_label", "knn", "linear")
    protocol = evaluation["protocol"]
    place = protocols.index(protocol) if protocol in protocols else len(protocols)
    return place, settings.get("labels_per_class", settings.get("k", 0))


def _cell(evaluation: Mapping[str, Any], kind: str) -> str:
    """Percent, and a spread of fixed width so that the decimals align."""
    for row in evaluation["rows"]:
        if row["features"] == kind and row.get("accuracy") is not None:
            cell = f"{100 * row['accuracy']:.1f}"
            if row.get("std") is not None:
                cell += f" ± {100 * row['std']:4.1f}"
            return cell
    return ABSENT


def _aligned(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """First column to the left, numbers to the right, a rule below the head."""
    rows = [head, *body]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        return GAP.join(cells).rstrip()

    rule = "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
    return [line(head), rule, *map(line, body)]


def _remarks(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the numbers mean, one line for each protocol, and notes of the results."""
    lines = {}
    for evaluation in evaluations:
        title, settings = _title(evaluation), evaluation.get("settings") or {}
        if "draws" in settings:
            classifier = str(settings["classifier"]).replace("_", " ")
            lines["few_label"] = (
                f"labels a class: {classifier}, mean ± standard deviation over "
                f"{settings['draws']} draws"
            )
        elif "temperature" in settings:
            lines["knn"] = f"{title}: cosine, votes exp(s / {settings['temperature']})"
        elif "learning_rates" in settings:
            heads = len(settings["learning_rates"]) * len(settings["weight_decays"])
            lines["linear"] = (
                f"linear: best of {heads} heads on {100 * settings['held_out']:g} % of "
                f"train held out, {settings['epochs']} epochs"
                f"{_tokens(settings)}"
            )
        for row in evaluation["rows"]:
            note = row.get("detail", {}).get("note")
            if note:
                name = f"{title}, {row['features']}"
                lines[name] = f"{name}: {note}"
    return list(lines.values())


def _tokens(settings: Mapping[str, Any]) -> str:
    if "class_tokens" not in settings:
        return ""
    blocks = settings["class_tokens"]
    last = "the last block" if blocks == 1 else f"the last {blocks} blocks"
    more = ", and the mean patch" if settings.get("mean_patch") else ""
    return f"; encoders by the class tokens of {last}{more}"
