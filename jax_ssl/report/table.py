"""The table of evaluations: trained features beside their controls.

The terminal and the page show the same one. Everything in it is said by the evaluations
of results.json themselves: "metrics", of which the first is the headline, "title",
"remark", and "note" in a row's "detail".
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from jax_ssl.report.blocks import Cell, Table
from jax_ssl.report.inputs import Record
from jax_ssl.report.quantities import DASH, is_number, quantity

# Of evaluations that name no metrics.
METRICS: tuple[Record, ...] = ({"name": "accuracy", "unit": "%", "better": "higher"},)
NAMES = {
    "pixels": "raw pixels",
    "samples": "raw samples",
    "mfcc": "MFCCs",
    "untrained": "untrained encoder",
}
FEATURES = (
    "trained",
    "untrained",
    "pixels",
    "samples",
    "mfcc",
)  # in this order; others follow


def words(name: Any) -> str:
    """A name of the code as words."""
    return NAMES.get(name, str(name).replace("_", " "))


def title_of(evaluation: Record) -> str:
    """The evaluation's title; of those without one, the protocol and its setting."""
    settings = (evaluation.get("settings") or {}).items()
    # The first number among the settings tells evaluations by one protocol apart.
    found = [f"{words(name)} {value}" for name, value in settings if is_number(value)]
    said = ", ".join([words(evaluation.get("protocol")), *found[:1]])
    return str(evaluation.get("title") or said)


def metrics_of(evaluation: Record) -> Sequence[Record]:
    """The metrics of an evaluation, the headline first."""
    return evaluation.get("metrics") or METRICS


def evaluation_of(record: Record) -> Record:
    """A record of kind "eval" in the form of the evaluations of results.json."""
    name = record.get("metric", "accuracy")
    unit = record.get("unit", "" if "metric" in record else "%")
    kinds = record.get("controls", FEATURES[1:])
    rows = [{"features": kind, name: record.get(kind)} for kind in kinds]
    rows.append({"features": "trained", name: record.get(name)})
    more = {key: record[key] for key in ("better",) if key in record}
    metric = {"name": name, "unit": unit, **more}
    return {**record, "metrics": [metric], "rows": rows}


def values_of(evaluation: Record, metric: Record) -> dict[str, float]:
    """The values of a metric that are known, by the kind of features."""
    found = {row["features"]: row.get(metric["name"]) for row in evaluation["rows"]}
    return {kind: float(value) for kind, value in found.items() if is_number(value)}


def evaluation_table(evaluations: Sequence[Record], *, gains: bool = True) -> Table:
    """A row for each metric of each evaluation, a column for each kind of features.

    Args:
        evaluations: of results.json, at least one.
        gains: whether columns with trained minus each control follow.
    """
    found = dict.fromkeys(row["features"] for e in evaluations for row in e["rows"])
    kinds = [kind for kind in dict.fromkeys((*FEATURES, *found)) if kind in found]
    controls = [kind for kind in kinds if gains and kind != "trained"]
    rows = []
    for evaluation in evaluations:
        title = Cell(title_of(evaluation), _small(evaluation), "strong")
        rows_of = {row["features"]: row for row in evaluation["rows"]}
        for metric in metrics_of(evaluation):
            headline = metric is metrics_of(evaluation)[0]
            spreads = {k: _spread(row, metric, headline) for k, row in rows_of.items()}
            values = values_of(evaluation, metric)
            if not values and not headline:
                continue
            row = [title, Cell(words(metric["name"]))]
            row += [_value(metric, values.get(k), spreads.get(k)) for k in kinds]
            row += [_gain(metric, values, kind) for kind in controls]
            rows.append(row)
            title = Cell("")  # It belongs to the headline.
    head = ["evaluation", "metric", *map(words, kinds)]
    return Table(rows, head + [f"trained minus {words(kind)}" for kind in controls])


def tables(evaluations: Sequence[Record], *, gains: bool = True) -> list[Table]:
    """A table for those that are judged beside the same controls, in their order.

    Baselines of predictions would be empty columns of all other evaluations.
    """

    def own(evaluation: Record) -> list[str]:
        kinds = [row["features"] for row in evaluation["rows"]]
        return [kind for kind in kinds if kind not in FEATURES]

    runs = itertools.groupby(evaluations, own)
    return [evaluation_table([*run], gains=gains) for _, run in runs]


def format_table(results: Record, *, method: str = "") -> str:
    """Plain text of results.json: the table, remarks, notes, and what was skipped.

    Args:
        results: {"evaluations": [...], "skipped": [...]}.
        method: name of the method, for the corner of the table.

    Returns:
        Lines without a trailing newline.
    """
    lines: list[str] = []
    if evaluations := results.get("evaluations"):
        for table in tables(evaluations, gains=False):
            lines += [*_lines(table, method), ""]
        lines += dict.fromkeys(e["remark"] for e in evaluations if e.get("remark"))
        lines += [
            f"{title_of(evaluation)}, {words(row['features'])}: {row['detail']['note']}"
            for evaluation in evaluations
            for row in evaluation["rows"]
            if (row.get("detail") or {}).get("note")
        ]
    return "\n".join([*lines, *skipped(results)]).rstrip() or "nothing was evaluated"


def aligned(
    head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)
) -> list[str]:
    """Lines of a table of text.

    Args:
        head: a word for each column.
        rows: as many cells each.
        left: numbers of the columns whose cells begin below each other; those of the
            others end so.
    """
    columns = []
    for i, (word, *cells) in enumerate(zip(head, *rows, strict=True)):
        width = max(map(len, (word, *cells)))
        lines = [word, "─" * width, *cells]
        columns.append([s.ljust(width) if i in left else s.rjust(width) for s in lines])
    return ["   ".join(line).rstrip() for line in zip(*columns, strict=True)]


def skipped(results: Record) -> list[str]:
    """A line for each reason, with the protocols that were skipped for it."""
    names: dict[str, dict[str, None]] = {}  # Of one protocol there may be several.
    for entry in results.get("skipped") or ():
        reason = entry.get("reason") or "no reason was recorded"
        names.setdefault(reason, {})[words(entry.get("protocol"))] = None
    return [f"Skipped {', '.join(each)}: {reason}" for reason, each in names.items()]


def _small(evaluation: Record) -> str:
    split, step = evaluation.get("split"), evaluation.get("step")
    where = [f"{split} split"] if split else []
    where += [f"step {step:,}"] if is_number(step) else []
    return "\n".join(filter(None, (", ".join(where), evaluation.get("remark"))))


def _spread(row: Record, metric: Record, headline: bool) -> float | None:
    """Of a row's value: over seeds all of them have one, else the headline alone."""
    halves = row.get("halves") or {}
    return halves.get(metric["name"], row.get("std") if headline else None)


def _value(metric: Record, value: float | None, std: float | None) -> Cell:
    if value is None:
        return Cell(DASH)
    unit = metric.get("unit", "")
    spread = f"± {quantity(std, unit)}".removesuffix(f" {unit}") if std else ""
    share = min(max(value, 0.0), 1.0) if unit == "%" else None
    return Cell(quantity(value, unit), spread, share=share, value=value)


def _gain(metric: Record, values: Mapping[str, float], control: str) -> Cell:
    if not {"trained", control} <= values.keys():
        return Cell(DASH)
    gain = values["trained"] - values[control]
    wanted = gain if metric.get("better", "higher") == "higher" else -gain
    tone = "better" if wanted > 0 else "worse" if wanted < 0 else ""
    # A difference of per cents is in points, which have no sign of their own.
    said = f"{100 * gain:+.2f}" if metric.get("unit") == "%" else f"{gain:+.3g}"
    return Cell(said.replace("-", "−"), tone=tone, value=gain)


def _lines(table: Table, corner: str) -> list[str]:
    """Two columns to the left; numbers to the right, with spreads of one width."""
    columns = []
    for i, cells in enumerate(zip(*table.rows, strict=True)):
        # The small print of the first column belongs to the page.
        smalls = [f" {cell.small}" if i and cell.small else "" for cell in cells]
        wide = max(map(len, smalls))
        pairs = zip(cells, smalls, strict=True)
        columns.append([f"{cell.text}{small:>{wide}}" for cell, small in pairs])
    head = [corner or table.head[0], *table.head[1:]]
    return aligned(head, zip(*columns, strict=True), left=(0, 1))
