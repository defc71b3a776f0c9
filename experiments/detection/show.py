"""Draws what a run finds on test pictures: its boxes in colour, true ones in white.

PYTHONPATH=. python experiments/detection/show.py --workdir=DIR --output=found.png
"""

import argparse

import jax
import matplotlib.pyplot as plt
import numpy as np

from jax_ssl.run.run import Run

COUNT, LEAST = 8, 0.3  # Pictures, and the score of boxes that are drawn.
COLOURS = ("tab:red", "tab:blue", "tab:orange")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--output", default="found.png")
    options = parser.parse_args()
    run = Run.opened(options.workdir, [])
    source, method = run.test.feed.source, run.experiment.method
    batch = source[np.arange(COUNT)]
    seen = jax.vmap(run.experiment.view, (None, 0))(jax.random.key(0), batch)
    names = source.fields["boxes"].names
    with run.restored() as train:
        predict = jax.jit(method.predicts["detections"])
        found = np.asarray(predict(train.params, train.state, seen))
    figure, axes = plt.subplots(2, COUNT // 2, figsize=(10, 5.4))
    for i, axis in enumerate(axes.flat):
        axis.imshow(seen["image"][i], interpolation="nearest", extent=(0, 64, 64, 0))
        axis.axis("off")
        for number, x0, y0, x1, y1 in np.asarray(seen["boxes"][i]):
            if number >= 0:
                axis.add_patch(
                    plt.Rectangle((x0, y0), x1 - x0, y1 - y0, ec="w", fc="none")
                )
        for number, score, x0, y0, x1, y1 in found[i]:
            if score >= LEAST:
                colour = COLOURS[int(number)]
                place = (x0, y0), x1 - x0, y1 - y0
                axis.add_patch(plt.Rectangle(*place, ec=colour, fc="none", lw=1.5))
                said = f"{names[int(number)]} {score:.2f}"
                axis.text(x0, y0 - 1, said, color=colour, fontsize=8)
    figure.tight_layout()
    figure.savefig(options.output, dpi=80)


if __name__ == "__main__":
    main()
