"""All protocols on the trained features and on their controls."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jax_ssl.evaluate.features import FeatureSet
from jax_ssl.evaluate.few_label import few_label as few_label_accuracy
from jax_ssl.evaluate.knn import knn as knn_accuracy
from jax_ssl.evaluate.linear import linear as linear_accuracy

# "trained", "untrained", "pixels" -> (train, test).
Kinds = Mapping[str, tuple[FeatureSet, FeatureSet]]
Record = dict[str, Any]

LABELS_PER_CLASS = (1, 5, 10)


def evaluate_all(
    features: Kinds,
    *,
    knn: Mapping[str, Any] | None = None,
    linear: Mapping[str, Any] | None = None,
    few_label: Mapping[str, Any] | None = None,
    split: str = "test",
    step: int = 0,
) -> Record:
    """Runs the chosen protocols on every kind of features.

    All kinds are compared on the same labels, the same draws and the same held-out
    part. What the data do not allow is left out, with the reason under "skipped", and
    fails nothing; a wrong setting is an error.

    Args:
        features: (train, test) of "trained", "untrained" and "pixels", or of some.
        knn: settings of `evaluate.knn.knn`, {} for its defaults; None leaves it out.
        linear: settings of `evaluate.linear.linear`, likewise.
        few_label: settings of `evaluate.few_label.few_label`, likewise, of which
            `labels_per_class` may be one number or several: 1, 5 and 10 unless given.
        split: what the test part is called in the record.
        step: of training, for the record.

    Returns:
        The content of results.json, {"evaluations": [...], "skipped": [...]}, plain
        JSON. Few labels make one evaluation for each number of labels; k-NN makes two,
        the nearest neighbour (k = 1) and the weighted vote.

    Raises:
        ValueError: if a setting is unknown or out of range, or the kinds of features
            are not of the same examples.
    """
    asked = {
        name: (function, _resolved(name, function, settings))
        for name, function, settings in (
            ("few_label", few_label_accuracy, few_label),
            ("knn", knn_accuracy, knn),
            ("linear", linear_accuracy, linear),
        )
        if settings is not None
    }
    _check_same_examples(features)
    skipped: list[Record] = []
    finite = dict(features)
    for kind, parts in features.items():
        if not all(np.isfinite(part.features).all() for part in parts):
            del finite[kind]
            reason = f"the {kind} features hold numbers that are not finite"
            skipped += [{"protocol": name, "reason": reason} for name in asked]
    evaluations: list[Record] = []
    for name, (function, settings) in asked.items():
        for chosen in _variants(name, settings):
            obstacle = _obstacle(name, chosen, finite)
            if obstacle:
                skipped.append({"protocol": name, "reason": obstacle})
                continue
            results = {
                kind: function(*parts, **chosen) for kind, parts in finite.items()
            }
            for said, rows in _reported(name, chosen, results, finite):
                evaluations.append(
                    {
                        "protocol": name,
                        "settings": said,
                        "split": split,
                        "step": step,
                        "rows": rows,
                    }
                )
    return _plain({"evaluations": evaluations, "skipped": skipped})


def _resolved(
    name: str, function: Callable[..., Record], settings: Mapping[str, Any]
) -> Record:
    """The settings with every default filled in."""
    parameters = inspect.signature(function).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}."
        )
    if "labels_per_class" in known:
        known["labels_per_class"] = LABELS_PER_CLASS
    return {**known, **settings}


def _variants(name: str, settings: Record) -> list[Record]:
    """The calls that a protocol makes on each kind of features."""
    if name != "few_label":
        return [settings]
    several = settings["labels_per_class"]
    several = (several,) if isinstance(several, int) else several
    return [{**settings, "labels_per_class": n} for n in several]


def _check_same_examples(features: Kinds) -> None:
    first = next(iter(features), None)
    for kind, parts in features.items():
        for part, other in zip(parts, features[first or kind], strict=True):
            if not np.array_equal(part.rows, other.rows):
                raise ValueError(
                    f"the {kind} features are of {len(part.rows)} examples and the "
                    f"{first} features of {len(other.rows)} or of others; take both "
                    "from the same source."
                )


def _obstacle(name: str, settings: Record, features: Kinds) -> str | None:
    """Why the data do not allow a protocol."""
    if not features:
        return "there are no features to evaluate"
    train, test = next(iter(features.values()))
    for what, part in (("training", train), ("test", test)):
        if part.labels is None:
            return f"the {what} images have no labels"
    assert train.labels is not None
    classes, counts = np.unique(train.labels, return_counts=True)
    if len(classes) < 2:
        return f"the training images are all of class {classes[0]}"
    least = f"class {classes[np.argmin(counts)]} has {counts.min()} training images"
    if name == "few_label" and counts.min() < settings["labels_per_class"]:
        return f"{least}, fewer than {settings['labels_per_class']} labels a class"
    if name == "linear" and counts.max() < 2:
        return "no class has two training images, one of them to be held out"
    return None


def _reported(
    name: str, settings: Record, results: Mapping[str, Record], features: Kinds
) -> Iterator[tuple[Record, list[Record]]]:
    """(settings, rows) of each evaluation that a protocol's results amount to."""

    def rows(accuracy: str, *detail: str) -> list[Record]:
        return [
            {
                "features": kind,
                "accuracy": result[accuracy],
                "std": result.get("std"),
                "detail": {
                    **features[kind][0].detail,
                    **{key: result[key] for key in detail if key in result},
                },
            }
            for kind, result in results.items()
        ]

    if name == "knn":
        used = next(iter(results.values()))["k"]
        if used > 1:
            yield {"k": 1}, rows("accuracy_nearest")
        said = {"k": used, "temperature": settings["temperature"]}
        yield said, rows("accuracy", "accuracy_top5", "note")
    elif name == "linear":
        yield (
            settings,
            rows(
                "accuracy",
                "accuracy_top5",
                "learning_rate",
                "weight_decay",
                "validation_accuracy",
                "train_loss",
                "note",
                "validation",
            ),
        )
    else:
        said = dict(settings)
        if said["classifier"] != "logistic":
            del said["weight_decay"]
        yield said, rows("accuracy", "accuracies")


def _plain(value: Any) -> Any:
    """The same in the types of JSON; numbers that are not finite become words."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
