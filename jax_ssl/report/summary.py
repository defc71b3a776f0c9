"""The top of the page: warnings, key figures, and how to judge what was not judged."""

from typing import Any

import numpy as np

from jax_ssl.report import series, table
from jax_ssl.report.blocks import Block, Cards, Text
from jax_ssl.report.health import diagnoses
from jax_ssl.report.inputs import ReportInputs
from jax_ssl.report.quantities import duration, is_number, number, plural, quantity

MAX_JUDGED = 3  # cards of evaluations
HOW_TO_JUDGE = (
    "To judge the encoder on labelled images, run jax-ssl evaluate with "
    "config.evals.train and config.evals.test set to parts of a data set with labels."
)

Card = tuple[str, str, str]


def top(inputs: ReportInputs) -> list[Block]:
    """Warnings, key figures, and a line where nothing has been judged by labels."""
    blocks: list[Block] = []
    if said := _warnings(inputs):
        blocks.append(Text(said, "warning", plural(len(said), "warning")))
    if figures := [*_judged(inputs), *_trained(inputs)]:
        blocks.append(Cards(figures))
    if not inputs.results.get("evaluations"):
        why = [f"{line}." for line in table.skipped(inputs.results)]
        none = ["No evaluation has been made yet.", *why, HOW_TO_JUDGE]
        blocks.append(" ".join(none))
    return blocks


def _warnings(inputs: ReportInputs) -> list[str]:
    """The caller's warnings, then what the records and results give away themselves."""
    said = [str(warning) for warning in inputs.warnings]
    train = inputs.of_kind("train")
    loss = series.curve(train, "loss")
    broken = np.flatnonzero(np.isnan(loss.y))
    if len(broken):
        where = f"{len(broken):,} of {plural(len(loss.y), 'record')}"
        step = f"first at step {loss.x[broken[0]]:,.0f}"
        said.append(f"The loss is not finite in {where}, {step}.")
    if corrupt := int(max(series.numbers(train, "corrupt_examples"), default=0)):
        said.append(f"{plural(corrupt, 'example')} could not be read.")
    if found := len(diagnoses(inputs)):
        said.append(f"The network may have collapsed: {found} under Health, below.")
    return said


def _judged(inputs: ReportInputs) -> list[Card]:
    """Headlines of the last evaluations, one a protocol; else those of training so far.

    Never the best of several, which would choose by looking at the test part.
    """
    during = [table.evaluation_of(record) for record in inputs.of_kind("eval")]
    last: dict[Any, Card] = {}
    for evaluation in inputs.results.get("evaluations") or during:
        metric = table.metrics_of(evaluation)[0]
        values = table.values_of(evaluation, metric)
        if "trained" in values:
            said = {k: quantity(v, metric.get("unit", "")) for k, v in values.items()}
            where = [evaluation.get("split", "test")]
            if is_number(evaluation.get("epoch")):
                where.append(f"at epoch {number(evaluation['epoch'])}")
            where += [f"untrained {said[k]}" for k in ("untrained",) if k in said]
            title = f"{table.title_of(evaluation)}, {table.words(metric['name'])}"
            last[evaluation.get("protocol")] = title, said["trained"], ", ".join(where)
    return [*last.values()][-MAX_JUDGED:]


def _trained(inputs: ReportInputs) -> list[Card]:
    """What is known without labels."""
    train, looks = inputs.of_kind("train"), inputs.of_kind("doctor")
    cards: list[Card] = []
    mean = series.trend(series.curve(train, "loss")).y
    known = mean[np.isfinite(mean)]
    if len(known):
        cards.append(("Loss", number(known[-1], 4), f"from {number(known[0], 4)}"))
    if looks:
        found = len(diagnoses(inputs))
        verdict = plural(found, "diagnosis") if found else "no collapse"
        cards.append(("Health", verdict, plural(len(looks), "look")))
    if steps := series.numbers(train, "step"):
        epochs = [f"{number(n)} epochs" for n in series.numbers(train, "epoch")[-1:]]
        cards.append(("Steps", number(max(steps)), "".join(epochs)))
    if speed := series.numbers(train, "examples_per_second"):
        said = f"median of {plural(len(speed), 'record')}"
        if mfu := series.numbers(train, "mfu"):
            said = f"{100 * np.median(mfu):.1f} % of peak FLOPs"
        cards.append(("Examples per second", number(np.median(speed)), said))
    recorded = max(series.numbers(train, "seconds"), default=None)
    if is_number(seconds := inputs.environment.get("seconds", recorded)):
        cards.append(("Time", duration(seconds), ""))
    if memory := series.numbers(train, "peak_memory_bytes"):
        cards.append(("Peak memory", f"{max(memory) / 2**30:.2f} GiB", ""))
    return cards
