"""`jax-ssl compare`: runs side by side, those that differ in their seed as one."""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from jax_ssl.checkpoint.run_folder import read_config, replacing
from jax_ssl.config import completed
from jax_ssl.report import series
from jax_ssl.report.blocks import Block, Cell, Curve, Curves, Section, Table, Text
from jax_ssl.report.quantities import DASH, plural, quantity
from jax_ssl.report.sections import LINES
from jax_ssl.report.table import aligned, metrics_of, title_of, values_of, words
from jax_ssl.run.results import recorded
from jax_ssl.run.run import METRICS
from jax_ssl.train.metrics import read_metrics

SEED = "run.seed"
# Settings that change no number, or where things lie.
IGNORED = (
    *("data.path", "data.data_dir", "data.names", "run.trackers", "run.report"),
    *("run.tensorboard", "run.keep_checkpoints", "run.accept_changed_data"),
)
CHARTS = ("loss", "learning_rate")
MOST = 12  # Curves of a chart that can be told apart.

Flat = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Told:
    """What a run's folder tells.

    Attributes:
        name: of the folder.
        config: settings by dotted name.
        results: of results.json, by (evaluation, metric): unit, what is better, value.
        records: of metrics.jsonl.
    """

    name: str
    config: Flat
    results: Mapping[tuple[str, str], tuple[str, str, float]]
    records: Sequence[Mapping[str, Any]]


def compare(options: argparse.Namespace) -> int:
    """Prints a table of runs, and writes a page with it and their curves."""
    output = pathlib.Path(options.output or "compare")
    if output.is_file():
        raise ValueError(f"--output={output} is a file; name a folder.")
    runs = told_of([pathlib.Path(path) for path in options.runs])
    groups = grouped(runs)
    names = names_of(groups)
    print("\n".join(lines_of(groups, names)))
    print(f"\n{write_page(output, groups, names)}")
    return 0


def told_of(folders: Sequence[pathlib.Path]) -> list[Told]:
    """What the folders tell, in their order, each once.

    Raises:
        FileNotFoundError: if one holds no run.
        ValueError: if there are fewer than two.
    """
    folders = list({folder.resolve(): folder for folder in folders}.values())
    if len(folders) < 2:
        raise ValueError("compare needs two runs or more: jax-ssl compare RUN RUN...")
    short = [folder.resolve().name for folder in folders]
    found = []
    for folder, name in zip(folders, short, strict=True):
        written = read_config(folder, "restore it, or leave this run out")
        config = completed(written)  # Runs of several versions are alike in the rest.
        flat = flatten_dict(config, keep_empty_nodes=True, sep=".")
        records = read_metrics(folder / METRICS)
        own = name if short.count(name) == 1 else str(folder)
        found.append(Told(own, flat, _results(recorded(folder)), records))
    return found


def _results(record: Mapping[str, Any]) -> dict[tuple[str, str], tuple]:
    """The newest value of every metric on trained features."""
    found = {}
    for each in record.get("evaluations", ()):
        for metric in metrics_of(each):
            value = values_of(each, metric).get("trained")
            if value is not None:
                said = metric.get("unit", ""), metric.get("better", "higher"), value
                found[title_of(each), words(metric["name"])] = said
    return found


def grouped(runs: Sequence[Told]) -> list[list[Told]]:
    """The runs by their settings; those that differ in the seed alone are together."""
    groups: dict[str, list[Told]] = {}
    for run in runs:
        own = {k: v for k, v in run.config.items() if k not in (*IGNORED, SEED)}
        groups.setdefault(json.dumps(own, sort_keys=True, default=vars), []).append(run)
    return list(groups.values())


def names_of(groups: Sequence[Sequence[Told]]) -> list[str]:
    """A name for each group: its first run's, and how many seeds there are."""
    return [
        group[0].name + (f" and {len(group) - 1} more" if len(group) > 1 else "")
        for group in groups
    ]


def differing(groups: Sequence[Sequence[Told]]) -> dict[str, list[str]]:
    """Settings that are not alike in all groups, with the value in each."""
    firsts = [group[0].config for group in groups]
    found = {}
    for name in sorted({name for config in firsts for name in config}):
        if name in (*IGNORED, SEED):
            continue
        values = [_shown(config, name) for config in firsts]
        if len({*values}) > 1:
            found[name] = values
    return found


def _shown(config: Flat, name: str) -> str:
    return json.dumps(config[name], default=vars) if name in config else DASH


def spread_of(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the standard deviation (of a sample) where there are several."""
    several = len(values) > 1
    return float(np.mean(values)), float(np.std(values, ddof=1)) if several else None


def result_rows(groups: Sequence[Sequence[Told]]) -> list[list[Cell]]:
    """A row for each metric of each evaluation, a cell for each group; best in bold."""
    keys = dict.fromkeys(
        key for group in groups for run in group for key in run.results
    )
    rows = []
    for key in keys:
        cells: list[Cell] = []
        means: list[float | None] = []
        better = "higher"
        for group in groups:
            known = [run.results[key] for run in group if key in run.results]
            if not known:
                cells.append(Cell(DASH))
                means.append(None)
                continue
            unit, better, _ = known[0]
            mean, std = spread_of([value for *_, value in known])
            small = "" if std is None else f"± {_plain(std, unit)}"
            if len(known) < len(group):
                small += f" of {len(known)} runs"
            cells.append(Cell(quantity(mean, unit), small.strip(), value=mean))
            means.append(mean)
        best = [mean for mean in means if mean is not None]
        top = max(best) if better == "higher" else min(best)
        cells = [
            cell._replace(tone="strong") if mean == top and len(best) > 1 else cell
            for cell, mean in zip(cells, means, strict=True)
        ]
        rows.append([Cell(key[0]), Cell(key[1]), *cells])
    return rows


def _plain(value: float, unit: str) -> str:
    return quantity(value, unit).removesuffix(f" {unit}")


def lines_of(groups: Sequence[Sequence[Told]], names: Sequence[str]) -> list[str]:
    """The tables as text."""
    lines: list[str] = []
    if rows := result_rows(groups):
        text = [
            [" ".join(filter(None, (c.text, c.small))) for c in row] for row in rows
        ]
        lines += [*aligned(["evaluation", "metric", *names], text, left=(0, 1)), ""]
    else:
        lines += ["none of these runs has results yet.", ""]
    if settings := differing(groups):
        table = [[name, *values] for name, values in settings.items()]
        lines += aligned(["setting", *names], table)
    else:
        lines.append("no setting differs but the seed.")
    return lines


def charts_of(
    groups: Sequence[Sequence[Told]], names: Sequence[str]
) -> Iterable[Curves]:
    """Overlaid curves: of training, and of evaluations that watched it."""
    for key in CHARTS:
        title, unit = LINES[key]
        yield from _chart(key, title, unit, groups, names, "train", key, "")
    online = dict.fromkeys(
        (r["protocol"], r["metric"], r.get("unit", ""))
        for group in groups
        for run in group
        for r in run.records
        if r.get("kind") == "eval" and "metric" in r
    )
    for protocol, metric, unit in online:
        title = f"{words(protocol)} {words(metric)} during training"
        name = f"{protocol}_{metric}"
        yield from _chart(name, title, unit, groups, names, "eval", metric, protocol)


def _chart(
    name: str,
    title: str,
    unit: str,
    groups: Sequence[Sequence[Told]],
    names: Sequence[str],
    kind: str,
    key: str,
    protocol: str,
) -> Iterable[Curves]:
    curves = {}
    for group, named in zip(groups, names, strict=True):
        own = [
            series.curve([r for r in run.records if _is(r, kind, protocol)], key)
            for run in group
        ]
        own = [curve for curve in own if len(curve.x)]
        if own:
            curves[named] = mean_curve(own)
    if curves:
        shown = dict([*curves.items()][:MOST])
        said = "Of several seeds the mean, at the steps that all of them have."
        more = len(curves) - len(shown)
        said += f" {plural(more, 'run')} more are left out." if more else ""
        yield Curves(name, title, shown, unit=unit, caption=said)


def _is(record: Mapping[str, Any], kind: str, protocol: str) -> bool:
    return record.get("kind") == kind and record.get("protocol", "") == protocol


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves at the places that all of them have."""
    places = sorted(set.intersection(*({*curve.x.tolist()} for curve in curves)))
    if not places:
        return curves[0]
    values = [
        [dict(zip(c.x.tolist(), c.y.tolist(), strict=True))[x] for x in places]
        for c in curves
    ]
    return Curve(np.array(places), np.mean(values, axis=0))


def write_page(
    folder: pathlib.Path, groups: Sequence[Sequence[Told]], names: Sequence[str]
) -> pathlib.Path:
    """Writes index.html, with everything in it, and its charts as PNGs."""
    # Imported here: matplotlib takes a second, which other commands need not wait for.
    from jax_ssl.report.html import page

    rows = result_rows(groups)
    results: list[Block] = ["None of these runs has results yet."]
    if rows:
        results = [Table(rows, ["evaluation", "metric", *names])]
        if any(len(group) > 1 for group in groups):
            results.append(
                Text(["Mean ± one standard deviation over runs that differ in seed."])
            )
    settings = [
        [Cell(name), *map(Cell, values)] for name, values in differing(groups).items()
    ]
    alike: list[Block] = ["No setting differs but the seed."]
    if settings:
        alike = [Table(settings, ["setting", *names])]
    members = [
        [
            Cell(name),
            Cell(", ".join(f"{r.name} (seed {r.config[SEED]})" for r in group)),
        ]
        for group, name in zip(groups, names, strict=True)
    ]
    sections = [
        Section("Results", results),
        Section("Curves", [*charts_of(groups, names)]),
        Section("Settings that differ", alike),
        Section("Runs", [Table(members)]),
    ]
    files: dict[str, bytes] = {}
    count = sum(map(len, groups))
    document = page(
        "Comparison", plural(count, "run"), [s for s in sections if s.blocks], files
    )
    for name, content in {**files, "index.html": document.encode()}.items():
        with replacing(folder / name) as file:
            file.write(content)
    return folder / "index.html"
