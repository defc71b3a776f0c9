"""The pixels of scikit-learn's 8 x 8 digits as features, and how they are judged."""

import functools
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from jax_ssl.evaluate.part import part_of


class Labelled(NamedTuple):
    """Features [N, D] and labels [N]."""

    features: np.ndarray
    labels: np.ndarray


def labelled(features, labels):
    return Labelled(np.asarray(features, np.float32), np.asarray(labels, np.int32))


def judged(protocol, train, test):
    """The outcomes of a protocol, over the ambient mesh if there is one."""
    parts = (part_of(x.features, label=x.labels) for x in (train, test))
    return list(protocol.run(*parts))


def score(protocol, train, test):
    """The headline of its last outcome."""
    return judged(protocol, train, test)[-1].values["accuracy"]


@functools.cache
def digit_pixels():
    """(train, test): the first 1,200 and the other 597 digits, pixels in [0, 1]."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    return labelled(images[:1200], labels[:1200]), labelled(
        images[1200:], labels[1200:]
    )
