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


def hold_out(
    labels: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows into a part to fit and a part to choose by, class by class.

    Of a class of n examples round(share · n) are held out, but at least one and at most
    n - 1: a class of one example is fitted only.

    Args:
        labels: [N] integers.
        share: in (0, 1).
        seed: of the draw.

    Returns:
        (fitted, held out), rising rows.

    Raises:
        ValueError: if `share` is out of range or every class has one example.
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out = {share} must lie between 0 and 1.")
    generator = np.random.default_rng(seed)
    held = []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held.append(rows[:count])
    validation = np.sort(np.concatenate(held))
    if not len(validation):
        raise ValueError(
            f"each of the {len(held)} classes has one example; holding some out needs "
            "a class of at least two."
        )
    return np.setdiff1d(np.arange(len(labels)), validation), validation
