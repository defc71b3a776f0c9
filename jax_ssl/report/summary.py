"""The top of the page: the key figures, and what to know before believing them."""

from collections.abc import Sequence

import numpy as np

from jax_ssl.report import accuracy, series
from jax_ssl.report.inputs import Record, ReportInputs
from jax_ssl.report.quantities import (
    DASH,
    duration,
    is_number,
    number,
    percent,
    plural,
    size,
)


def key_figures(inputs: ReportInputs) -> list[tuple[str, str, str]]:
    """(name, value, small print) of each card; only the accuracy is always there."""
    train = series.of_kind(inputs.metrics, "train")
    cards = [_knn(inputs)]
    if steps := series.numbers(train, "step"):
        epochs = series.numbers(train, "epoch")
        cards.append(("Steps", number(max(steps)), _epochs(max(epochs, default=None))))
    loss = series.curve(train, "loss").y
    smoothed = series.smooth(loss, series.radius(len(loss)))
    finite = np.flatnonzero(np.isfinite(smoothed))
    if len(finite):
        first, last = smoothed[finite[[0, -1]]]
        cards.append(("Loss", number(last, 4), f"from {number(first, 4)}"))
    if speed := series.numbers(train, "images_per_second"):
        said = f"median of {plural(len(speed), 'record')}"
        if mfu := series.numbers(train, "mfu"):
            said = f"{percent(float(np.median(mfu)), 1)} of peak FLOPs"
        cards.append(("Images per second", number(float(np.median(speed))), said))
    recorded = max(series.numbers(train, "seconds"), default=None)
    seconds = inputs.environment.get("seconds", recorded)
    if is_number(seconds):
        cards.append(("Time", duration(seconds), ""))
    if memory := series.numbers(train, "peak_memory_bytes"):
        cards.append(("Peak memory", size(max(memory)), ""))
    return cards


def warnings(inputs: ReportInputs) -> list[str]:
    """The caller's warnings, then what the records and results give away themselves."""
    said = [str(warning) for warning in inputs.warnings]
    train = series.of_kind(inputs.metrics, "train")
    loss = series.curve(train, "loss")
    broken = np.flatnonzero(np.isnan(loss.y))
    if len(broken):
        said.append(
            f"The loss is not finite in {len(broken):,} of "
            f"{plural(len(loss.y), 'record')}, first at step {loss.x[broken[0]]:,.0f}."
        )
    corrupt = int(max(series.numbers(train, "corrupt_images"), default=0))
    if corrupt:
        said.append(f"{plural(corrupt, 'image')} could not be decoded.")
    if found := diagnoses(inputs.metrics):
        said.append(
            f"The network may have collapsed: {len(found)} under Health, below."
        )
    return said


def diagnoses(metrics: Sequence[Record]) -> list[str]:
    """A sentence for everything that was found, with the steps, in order."""
    records = series.of_kind(metrics, "doctor")
    found: dict[str, tuple[int, Record, Record]] = {}
    for record in records:
        for each in record.get("diagnoses") or ():
            first = found.get(each["name"], (record["step"], record, each))[0]
            found[each["name"]] = (first, record, each)
    return [
        f"From step {first:,}{_until(record, records[-1])}: {each['evidence']}: "
        f"{each['cause']}. {each['remedy']}."
        for first, record, each in found.values()
    ]


def _until(record: Record, last: Record) -> str:
    if record["step"] == last["step"]:
        return f" to the last look, at {last['step']:,}"
    return f" to {record['step']:,}, and not after"


def skipped(inputs: ReportInputs) -> list[str]:
    """One sentence for each evaluation that was not made."""
    return [
        f"{accuracy.protocol_name(entry.get('protocol'))} (skipped): "
        f"{entry.get('reason') or 'no reason was recorded.'}"
        for entry in inputs.results.get("skipped") or ()
    ]


def _knn(inputs: ReportInputs) -> tuple[str, str, str]:
    """The last k-NN accuracy: of the final evaluation, else of training so far.

    Never the best of several, which would choose by looking at the test part.
    """
    title = "k-NN accuracy"
    for evaluation in reversed(inputs.results.get("evaluations") or ()):
        for row in evaluation["rows"]:
            known = row["features"] == "trained" and is_number(row.get("accuracy"))
            if evaluation.get("protocol") == "knn" and known:
                k = (evaluation.get("settings") or {}).get("k")
                where = str(evaluation.get("split", "test"))
                said = f"{where}, k = {k}" if k is not None else where
                return title, percent(float(row["accuracy"])), said
    for record in reversed(series.of_kind(inputs.metrics, "eval")):
        if record.get("protocol") == "knn" and is_number(record.get("accuracy")):
            said = ", ".join(filter(None, (record.get("split"), _moment(record))))
            return title, percent(float(record["accuracy"])), said
    return title, DASH, "not evaluated"


def _epochs(count: float | None) -> str:
    if count is None:
        return ""
    return f"{number(count)} {'epoch' if count == 1 else 'epochs'}"


def _moment(record: Record) -> str:
    for key in ("epoch", "step"):
        if is_number(record.get(key)):
            return f"at {key} {number(record[key])}"
    return ""
