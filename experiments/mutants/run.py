"""Applies every fault of `tests/mutants.py` alone, and notes the test that sees it.

PYTHONPATH=. python experiments/mutants/run.py, in a working tree without changes.
With a part of a name behind it: these alone, and nothing is written.
"""

import json
import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from jax_ssl.run.environment import environment
from tests.convict import convicted
from tests.mutants import MUTANTS

HERE = pathlib.Path(__file__).resolve().parent
AT_ONCE = 2


def tried(name):
    start = time.perf_counter()
    test = convicted(MUTANTS[name])
    print(f"{'  ' if test else '! '}{name}: {test or 'no test sees it'}", flush=True)
    return {
        "file": MUTANTS[name].file,
        "convicted_by": test,
        "seconds": round(time.perf_counter() - start, 1),
    }


def table(results):
    yield "| fault | in | the first test that fails |"
    yield "| --- | --- | --- |"
    for name, result in results.items():
        test = result["convicted_by"]
        test = "**none**" if test is None else f"`{test.removeprefix('tests/')}`"
        yield f"| {name} | {result['file']} | {test} |"


def main(wanted):
    names = [n for n in MUTANTS if not wanted or any(part in n for part in wanted)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(names, pool.map(tried, names), strict=True))
    missed = [name for name in names if results[name]["convicted_by"] is None]
    print(f"{len(names) - len(missed)} of {len(names)} convicted")
    if not wanted:
        found = {"environment": environment(), "mutants": results}
        (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "table.md").write_text("\n".join(table(results)) + "\n")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
