"""Ways of cameras, seen from above."""

from collections.abc import Sequence

import numpy as np

from jax_ssl.report.blocks import Paths
from jax_ssl.report.inputs import Record
from jax_ssl.report.table import words


def tracks(evaluations: Sequence[Record]) -> list[Paths]:
    """A figure of each sequence: the true way, and that of each kind that was judged.

    Of several evaluations of one sequence the last is drawn.
    """
    drawn: dict[str, Paths] = {}
    for each in evaluations:
        found: dict[str, dict[str, np.ndarray]] = {}
        for row in each["rows"]:
            for name, pair in (row.get("tracks") or {}).items():
                mine = found.setdefault(name, {"true": np.array(pair["true"], float)})
                mine[words(row["features"])] = np.array(pair["found"], float)
        for name, paths in found.items():
            drawn[name] = Paths(
                f"tracks_{name}",
                f"The camera's way from above, {name}",
                paths,
                caption="To the right, and forward as the first camera looks. Each is "
                "aligned with the true one as the evaluation says.",
            )
    return [*drawn.values()]
