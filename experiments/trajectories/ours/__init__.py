"""Our side by method: the library's method, optimizer and schedule."""

from ours import banks, clusters, pairs, transformers

CASES = {**pairs.CASES, **banks.CASES, **clusters.CASES, **transformers.CASES}
