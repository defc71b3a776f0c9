"""The accuracy of a head's scores, by hand."""

import numpy as np

from jax_ssl.evaluate.classification import classification
from jax_ssl.evaluate.part import part_of


def test_accuracies_of_scores():
    scores = np.eye(6)[[0, 1, 2, 3, 4]] + np.linspace(0.6, 0, 6)
    # The first two are right, the third is second to its own, the fourth is last; class
    # 6 is one that the head does not know.
    part = part_of(scores, label=np.array([0, 1, 1, 5, 6]))
    (outcome,) = classification(6).run(part, part)
    assert outcome.values == {"accuracy": 2 / 5, "accuracy_top5": 3 / 5}
