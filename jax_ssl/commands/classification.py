"""The accuracy of a run's own classifier on its test part."""

from typing import Any

import numpy as np

from jax_ssl.config import Experiment
from jax_ssl.core.state import TrainState
from jax_ssl.data.source import Source
from jax_ssl.evaluate.features import extract
from jax_ssl.methods.classifier import Classified, Head, classified_variables

CLASSIFIER = "classifier"


def classification(
    experiment: Experiment, train: TrainState, test: Source
) -> dict[str, Any]:
    """Top-1 and top-5 accuracy of the trained head, as an entry of results.json.

    Must be called with the run's mesh installed, by all processes.
    """
    settings = experiment.config["method"]
    head = Head(settings["num_classes"], settings["batch_norm"], settings["first_std"])
    found = extract(
        Classified(experiment.method.encoder, head),
        classified_variables(train.params, train.state),
        test,
        experiment.view,
        batch_size=experiment.evals.batch_size,
        workers=experiment.feeding.workers,
    )
    assert found.labels is not None
    own = np.take_along_axis(found.features, found.labels[:, None], 1)
    better = (found.features > own).sum(axis=1)  # Classes with larger logits.
    detail = {key: value for key, value in found.detail.items() if key != "dimensions"}
    if settings["num_classes"] > 5:
        detail["accuracy_top5"] = float((better < 5).mean())
    row = {
        "features": "trained",
        "accuracy": float((better < 1).mean()),
        "std": None,
        "detail": detail,
    }
    return {
        "protocol": CLASSIFIER,
        "settings": {"num_classes": settings["num_classes"]},
        "split": str((experiment.evals.test or {}).get("split", "test")),
        "step": int(train.step),
        "rows": [row],
    }
