"""Evaluations for which the training part has too few labels, said before training."""

import numpy as np

from jax_ssl.data.cache import load
from jax_ssl.data.corrupt import Reader
from jax_ssl.run.run import Run

MOST = 10_000  # Examples whose labels are read for this; of more, none.


def scarce(run: Run) -> list[str]:
    """Sentences about protocols that will be skipped, wholly or in part.

    Args:
        run: whose labels are read, where there is a test part and the training part
            has no more than `MOST` examples.
    """
    source, said = run.train.feed.source, list[str]()
    if run.test is None or len(source) > MOST:
        return said
    for protocol in run.experiment.protocols:
        (label,) = protocol.needs[:1] or ("",)
        if not protocol.per_class or label not in source.fields:
            continue
        kept = source.keep([label])
        labels = load(kept, reader=Reader(kept, max_corrupt=1.0))[label]
        classes, counts = np.unique(labels[labels >= 0], return_counts=True)
        if not len(classes) or counts.min() >= protocol.per_class:
            continue
        number, names = int(classes[counts.argmin()]), source.fields[label].names
        name = number if names is None else repr(names[number])
        said.append(
            f"config.evals.{protocol.name}: class {name} has {counts.min()} training "
            f"examples, fewer than the {protocol.per_class} labels a class that are "
            "asked for; what needs more will be skipped."
        )
    return said
