"""What the protocols ask of labels."""

import numpy as np

from jax_ssl.evaluate.features import FeatureSet


def labels_of(
    train: FeatureSet, test: FeatureSet
) -> tuple[int, np.ndarray, np.ndarray]:
    """(number of classes, train labels [N], test labels [M]).

    The number of classes is one more than the largest label of either set.

    Raises:
        ValueError: if a set has no labels, no examples, or a negative label, or if the
            widths of the features differ.
    """
    for name, part in (("train", train), ("test", test)):
        if part.labels is None:
            raise ValueError(f"the {name} features have no labels; this needs them.")
        if not len(part.labels):
            raise ValueError(f"the {name} features have no examples.")
        if part.labels.min() < 0:
            raise ValueError(
                f"the {name} features have label {part.labels.min()}; count from 0."
            )
    if train.features.shape[1] != test.features.shape[1]:
        raise ValueError(
            f"train features are {train.features.shape[1]} wide and test features "
            f"{test.features.shape[1]}; take both from one encoder and view."
        )
    labels = np.asarray(train.labels), np.asarray(test.labels)
    return int(max(labels[0].max(), labels[1].max())) + 1, *labels
