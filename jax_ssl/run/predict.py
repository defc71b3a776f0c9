"""`jax-ssl predict`: what a fine-tuned classifier calls each image of a folder."""

import argparse
import csv
import io
import pathlib

import numpy as np

from jax_ssl.checkpoint.run_folder import refuse_folder, replacing
from jax_ssl.core import checks
from jax_ssl.run.embed import over_folder
from jax_ssl.run.use import exported, load

WANTED = "probabilities"


def predict(options: argparse.Namespace) -> int:
    """Writes the likeliest classes of every image, and their probabilities."""
    output = pathlib.Path(options.output or "predictions.csv")
    if output.suffix != ".csv":
        raise ValueError(f"--output={output} must end in .csv.")
    refuse_folder(output)
    checks.at_least(1, **{"--top": options.top, "--batch_size": options.batch_size})
    loaded = load(exported(options.classifier, "classifier"))
    loaded.check_head()
    files, found = over_folder(loaded, options.images, options.batch_size, (WANTED,))
    names, values = loaded.classes, found[WANTED]
    top = min(options.top, len(names))
    order = np.argsort(-values, axis=1, kind="stable")[:, :top]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "class", "probability"])
    for file, row, best in zip(files, values, order, strict=True):
        table.writerows([file, names[i], f"{row[i]:.6f}"] for i in best)
    with replacing(output) as written:
        written.write(text.getvalue().encode())
    print(f"{output}: {len(files):,} images, {top} of {len(names)} classes for each")
    return 0
