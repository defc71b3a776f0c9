"""The sections of a run's report, and the page that they make."""

import itertools
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jax_ssl.report import series, table
from jax_ssl.report.blocks import Block, Cell, Curves, Map, Section, Table, Text
from jax_ssl.report.embedding import tsne_map
from jax_ssl.report.health import health
from jax_ssl.report.inputs import Record, ReportInputs
from jax_ssl.report.quantities import duration, is_number, number, plural, quantity
from jax_ssl.report.summary import top
from jax_ssl.report.tracks import tracks

# Keys of a train record that have charts of their own, with titles and units.
LINES = {
    "loss": ("Loss", ""),
    "learning_rate": ("Learning rate", ""),
    "examples_per_second": ("Examples per second", ""),
    "data_wait": ("Time spent waiting for data", "%"),
}
# Those that are shown elsewhere.
OTHER = (
    *("kind", "step", "epoch", "seconds", "ms_per_step", "peak_memory_bytes", "mfu"),
    *("corrupt_examples", "read_ms_per_example"),
)
MAX_OWN = 12  # charts of a method's own metrics, the first of them
VALUES = (
    "Values ± one standard deviation, where given; differences of per cents in points. "
    "The untrained encoder has its initial weights; raw values need no encoder."
)


def write_report(
    folder: pathlib.Path, inputs: ReportInputs, *, seed: int = 0
) -> pathlib.Path:
    """Writes index.html and its PNGs; the same inputs and seed give the same bytes.

    The page holds its pictures itself and asks the network for nothing. A part whose
    inputs are missing becomes a sentence with the reason. Charts and the map have a
    file for the light page and one, "-dark.png", for the dark; a grid of pictures has
    one, with its words, on white.

    Args:
        folder: made if it is not there; files of the same names are replaced.
        inputs: what to show.
        seed: of the t-SNE map.

    Returns:
        The path of index.html.
    """
    # Imported here: matplotlib takes a second, which other commands need not wait for.
    from jax_ssl.report.html import page

    names = [inputs.config.get(key) for key in ("method", "encoder", "data")]
    said = [str(s["name"]) for s in names if isinstance(s, Mapping) and s.get("name")]
    subtitle = " · ".join([*said, *filter(None, [inputs.environment.get("date")])])
    files: dict[str, bytes] = {}
    document = page(inputs.title, subtitle, sections(inputs, seed), files)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, "index.html": document.encode()}.items():
        (folder / name).write_bytes(content)
    return folder / "index.html"


def sections(inputs: ReportInputs, seed: int) -> list[Section]:
    """All sections, in the page's order; `seed` is the map's."""
    pictures = itertools.groupby(inputs.pictures, key=lambda pair: pair[0])
    found = [
        Section("", top(inputs)),
        Section("Evaluation", _evaluations(inputs.results)),
        Section("Curves", _curves(inputs)),
        Section("Health", health(inputs)),
        *(Section(title, [grid for _, grid in pairs]) for title, pairs in pictures),
        Section("Map of the features", _maps(inputs, seed)),
        Section("Time", _time(inputs)),
        Section("Settings and environment", _settings(inputs)),
    ]
    return [section for section in found if section.blocks]


def _evaluations(results: Mapping[str, Any]) -> list[Block]:
    """The table; none before there are evaluations, for the top of the page says so."""
    evaluations = results.get("evaluations")
    if not evaluations:
        return []
    details: dict[str, Any] = {}
    aside = "of the evaluations; results.json has all digits"
    for each in evaluations:
        said = {r["features"]: r["detail"] for r in each["rows"] if r.get("detail")}
        details[table.title_of(each)] = {**(each.get("settings") or {}), **said}
    return [
        *table.tables(evaluations),
        Text([VALUES]),
        *along(evaluations),
        *tracks(evaluations),
        *(f"{line}." for line in table.skipped(results)),
        Section("Settings and details", [_pairs(_short(details))], aside),
    ]


def along(evaluations: Sequence[Record]) -> list[Curves]:
    """A chart for each protocol whose evaluations are the points of a curve."""
    by_axis: dict[tuple[str, str], list[Record]] = {}
    for each in evaluations:
        if each.get("along"):
            key = each["protocol"], each["along"][0]
            by_axis.setdefault(key, []).append(each)
    charts = []
    for (protocol, axis), points in by_axis.items():
        metric = points[0]["metrics"][0]
        found = [{axis: p["along"][1], **table.values_of(p, metric)} for p in points]
        kinds = dict.fromkeys(key for point in found for key in point if key != axis)
        curves = {table.words(k): series.curve(found, k, axis) for k in kinds}
        said = f"{table.words(metric['name'])} by {axis}"
        if len(points) > 1 and curves:
            name = f"along_{protocol}"
            charts.append(Curves(name, said, curves, None, axis, metric["unit"]))
    return charts


def _curves(inputs: ReportInputs) -> list[Block]:
    train = inputs.of_kind("train")
    drawn = _lines(train, LINES)
    drawn[1:1] = _metric_curves(inputs)
    keys = dict.fromkeys(key for record in train for key in record)
    own = {key: (table.words(key), "") for key in keys if key not in {*LINES, *OTHER}}
    families = _families(own)
    drawn += [_by_number(train[-1], *family) for family in families.items()]
    numbered = {key for family in families.values() for key in family.values()}
    own = {key: said for key, said in own.items() if key not in numbered}
    folded = _lines(train, own, "metric_")
    if not drawn and not folded:
        return ["No metrics have been recorded yet."]
    blocks: list[Block] = [*drawn]
    if said := series.legend(len(train)):
        blocks.append(Text([said]))
    if folded:
        count = plural(len(folded), "curve")
        blocks.append(Section("The method's own metrics", folded[:MAX_OWN], count))
    return blocks


def _lines(
    train: Sequence[Record], keys: Mapping[str, tuple[str, str]], prefix: str = ""
) -> list[Curves]:
    """A chart for each key that was ever finite, and not only 0."""
    found = {key: series.curve(train, key) for key in keys}
    return [
        Curves(f"{prefix}{key}", title, {"": found[key]}, unit=unit)
        for key, (title, unit) in keys.items()
        if np.nan_to_num(found[key].y).any()
    ]


def _families(keys: Iterable[str]) -> dict[str, dict[int, str]]:
    """Keys that differ in a number at their end alone, by what they share.

    Three or more of them are one quantity along a scale, such as horizon_accuracy_1.
    """
    found: dict[str, dict[int, str]] = {}
    for key in keys:
        name, _, number = key.rpartition("_")
        if name and number.isdecimal():
            found.setdefault(name, {})[int(number)] = key
    return {name: family for name, family in found.items() if len(family) > 2}


def _by_number(record: Record, name: str, family: Mapping[int, str]) -> Curves:
    """A chart of the last values of a family of metrics over their numbers."""
    rows = [{"number": i, name: record.get(family[i])} for i in sorted(family)]
    over, _, what = name.partition("_")
    over, what = (over, what) if what else ("number", name)
    title = f"{table.words(what)} by {over}, in the last record"
    curves = {"": series.curve(rows, name, "number")}
    return Curves(f"family_{name}", title, curves, None, over)


def _metric_curves(inputs: ReportInputs) -> list[Curves]:
    """A chart for each evaluation in training, with the controls of its last record."""
    by_title: dict[str, list[Record]] = {}
    for record in map(table.evaluation_of, inputs.of_kind("eval")):
        by_title.setdefault(table.title_of(record), []).append(record)
    charts = []
    for i, (title, records) in enumerate(by_title.items()):
        over = "epoch" if all(is_number(r.get("epoch")) for r in records) else "step"
        metric = records[-1]["metrics"][0]
        values = table.values_of(records[-1], metric)
        levels = {table.words(k): v for k, v in values.items() if k != "trained"}
        said = f"{title} during training, {table.words(metric['name'])}"
        curves = {"trained": series.curve(records, metric["name"], over)}
        charts.append(Curves(f"eval_{i}", said, curves, levels, over, metric["unit"]))
    return charts


def _maps(inputs: ReportInputs, seed: int) -> list[Block]:
    """One layout of the features, coloured by each field of labels in turn."""
    if inputs.features is None:
        return ["No features have been computed: the run has no checkpoint yet."]
    total = len(inputs.features)
    if broken := int((~np.isfinite(inputs.features).all(axis=1)).sum()):
        said = f"{broken:,} of {total:,} feature rows are not finite: there is no map."
        return [said]
    points, rows = tsne_map(inputs.features, seed=seed)
    about = (
        f"t-SNE (van der Maaten and Hinton, 2008) of {len(rows):,} of "
        f"{plural(total, 'feature row')}."
    )
    own = {"": (inputs.labels, inputs.label_names)}
    maps: list[Block] = []
    for field, (labels, names) in {**own, **inputs.more_labels}.items():
        coloring = "There are no labels to colour them by."
        if labels is not None:
            labels = np.asarray(labels)[rows]
            classes = plural(len(np.unique(labels[labels >= 0])), "class")
            coloring = f"Colours and names show at most ten of {classes}."
        said = (
            f"{about} {coloring} Labels play no part in the layout. Only "
            "neighbourhoods mean something: distances between groups, and between two "
            "maps, do not."
        )
        title = "Map of the features"
        if field:
            title += f", coloured by {table.words(field)}"
            said = f"The same points, coloured by {table.words(field)}. {coloring}"
        name = f"tsne_{field}" if field else "tsne"
        maps.append(Map(name, title, points, labels, names, said))
    return maps


def spending(metrics: Sequence[Record]) -> dict[str, float]:
    """Seconds of the parts that a run's time falls into; they add up to all.

    Training is what the records' intervals took; while the host waited for data in
    them, the devices had run out of it. The rest of the time until the last record was
    compilation, evaluation, checkpoints, and whatever else is not training. Empty
    where nothing was timed.
    """
    trained = waited = done = 0.0
    for record in metrics:
        if record.get("kind") == "train" and is_number(record.get("step")):
            steps, done = record["step"] - done, record["step"]
            if is_number(record.get("ms_per_step")):
                seconds = steps * record["ms_per_step"] / 1000
                trained += seconds
                waited += seconds * (record.get("data_wait") or 0.0)
    total = max(series.numbers(metrics, "seconds"), default=0.0)
    if not trained:
        return {}
    return {
        "training steps": trained - waited,
        "waiting for data": waited,
        "compilation, evaluation, checkpoints": max(total - trained, 0.0),
    }


def _time(inputs: ReportInputs) -> list[Block]:
    """Where the time went, and what the threads that read could do, one on a core."""
    if not (parts := spending(inputs.metrics)):
        return ["No interval of training was timed."]
    whole = sum(parts.values())
    said = {k: f"{duration(s)}, {quantity(s / whole, '%')}" for k, s in parts.items()}
    blocks: list[Block] = [_pairs(said)]
    train, cores = inputs.of_kind("train"), inputs.environment.get("cores")
    read = series.numbers(train, "read_ms_per_example")[-1:]
    used = sorted(series.numbers(train, "examples_per_second"))
    if used and any(read):
        rate = 1000 / read[0]
        every = f" and {number(rate * cores)} on all {cores} cores" if cores else ""
        reading = (
            f"Reading and decoding took a thread {number(read[0])} ms an example, "
            f"which is {number(rate)} per second on an idle core{every} of the host; "
            f"training used {number(used[len(used) // 2])} per second."
        )
        blocks.append(Text([reading]))
    return blocks


def _settings(inputs: ReportInputs) -> list[Block]:
    commit = inputs.environment.get("commit") or ""
    config = _pairs(inputs.config)
    return [
        Section("Configuration", [config], plural(len(config.rows), "setting")),
        Section("Environment", [_pairs(_short(inputs.environment))], commit),
    ]


def _short(value: Any) -> Any:
    """The same with its fractions to four digits, as a reader wants them."""
    if isinstance(value, Mapping):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    if isinstance(value, float) and is_number(value):
        return round(value, 1) if abs(value) >= 1000 else float(f"{value:.4g}")
    return value


def _pairs(settings: Mapping[str, Any], prefix: str = "") -> Table:
    """Nested settings as one table with dotted names, as flags spell them."""
    rows: list[Sequence[Cell]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += _pairs(value, f"{prefix}{key}.").rows
            continue
        if not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, default=str)
        rows.append([Cell(f"{prefix}{key}"), Cell(value)])
    return Table(rows)
