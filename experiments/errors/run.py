"""The table of errors: every method in float32 beside its float64 reference.

Run:   PYTHONPATH=. python experiments/errors/run.py

What is compared, and with what, stands in tests/methods/errors.py and
tests/references/methods.py; the test suite holds all of it below 1e-5.
"""

import jax

from tests.methods.errors import COMPARISONS, errors

MEASURES = ("loss", "gradient", "state")


def main():
    jax.config.update("jax_default_matmul_precision", "highest")
    print("| method | " + " | ".join(MEASURES) + " |")
    print("| --- |" + " ---: |" * len(MEASURES))
    worst = dict.fromkeys(MEASURES, 0.0)
    for name, comparison in COMPARISONS.items():
        found = errors(comparison)
        worst = {measure: max(worst[measure], found[measure]) for measure in MEASURES}
        cells = " | ".join(f"{found[measure]:.1e}" for measure in MEASURES)
        print(f"| {name} | {cells} |", flush=True)
    cells = " | ".join(f"{worst[measure]:.1e}" for measure in MEASURES)
    print(f"| largest | {cells} |")


if __name__ == "__main__":
    main()
