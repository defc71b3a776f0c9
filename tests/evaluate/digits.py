"""The raw pixels of scikit-learn's 8 x 8 digits as feature sets."""

import functools

import numpy as np
from sklearn.datasets import load_digits

from jax_ssl.evaluate.features import FeatureSet


def feature_set(features, labels):
    return FeatureSet(
        np.asarray(features, np.float32),
        None if labels is None else np.asarray(labels, np.int32),
        np.arange(len(features), dtype=np.int32),
    )


@functools.cache
def digit_pixels():
    """(train, test): the first 1,200 and the other 597 digits, pixels in [0, 1]."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    return (
        feature_set(images[:1200], labels[:1200]),
        feature_set(images[1200:], labels[1200:]),
    )
