"""Means and intervals over runs that differ in their seeds alone."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jax_ssl.report.inputs import Record
from jax_ssl.report.quantities import is_number

LEVEL = 0.95


def t_interval(
    values: Sequence[float], level: float = LEVEL
) -> tuple[float, float | None]:
    """The mean of a few independent draws, and half of its interval by Student's t.

    Args:
        values: n of them.
        level: share of such intervals that hold the expectation, where the draws are
            from one normal distribution.

    Returns:
        (mean, t(n - 1) s / √n), with s² the sum of squares over n - 1; the second is
        None for one value, which says nothing of its spread.
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level} must be in (0, 1), such as 0.95.")
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return mean, None
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # Slow to load.

    quantile = float(stdtrit(n - 1, (1 + level) / 2))
    return mean, quantile * float(np.std(values, ddof=1)) / math.sqrt(n)


def over_seeds(
    runs: Sequence[Record], seeds: Sequence[int], level: float = LEVEL
) -> dict[str, Any]:
    """The results of several runs as those of one, in the form of results.json.

    Args:
        runs: {"evaluations": [...], "skipped": [...]} of each run.
        seeds: of the runs, for the record.
        level: of the intervals.

    Returns:
        Evaluations that all runs have, by protocol, settings, part and step. Values are
        means; a row's "halves" has half of the interval of each, its "std" that of the
        headline, and its "detail" what each run said.
    """
    found = [{_identity(e): e for e in run["evaluations"]} for run in runs]
    told = f"mean of {len(runs)} seeds ± half of its {100 * level:g} % t interval"
    evaluations = []
    for key, first in found[0].items():
        if not all(key in each for each in found):
            continue
        named = [{row["features"]: row for row in each[key]["rows"]} for each in found]
        metrics = [metric["name"] for metric in first["metrics"]]
        rows = []
        for features in named[0]:
            if not all(features in each for each in named):
                continue
            said = {m: [each[features].get(m) for each in named] for m in metrics}
            known = {m: v for m, v in said.items() if all(map(is_number, v))}
            both = {m: t_interval(v, level) for m, v in known.items()}
            halves = {m: half for m, (_, half) in both.items()}
            rows.append(
                {
                    "features": features,
                    **dict.fromkeys(metrics),
                    **{m: mean for m, (mean, _) in both.items()},
                    "std": halves.get(metrics[0]),
                    "halves": halves,
                    "detail": {"seeds": [*seeds], "of_each_seed": said},
                }
            )
        remark = "; ".join(filter(None, [first.get("remark"), told]))
        kept = {k: v for k, v in first.items() if k != "made"}
        evaluations.append({**kept, "rows": rows, "remark": remark})
    skipped = [entry for run in runs for entry in run["skipped"]]
    unique = {json.dumps(entry, sort_keys=True): entry for entry in skipped}
    return {"evaluations": evaluations, "skipped": [*unique.values()]}


def _identity(evaluation: Record) -> str:
    keys = ("protocol", "settings", "split", "step")
    return json.dumps([evaluation.get(key) for key in keys], sort_keys=True)
