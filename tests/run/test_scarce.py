"""What the training part has too few labels for."""

import dataclasses
from types import SimpleNamespace

import numpy as np

from jax_ssl.data.arrays import arrays
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.knn import knn
from jax_ssl.run import scarce as module
from jax_ssl.run.scarce import scarce


@dataclasses.dataclass
class Parts:
    """The parts of a run that are looked at."""

    labels: list
    protocols: list
    test: object = "a test part"

    @property
    def experiment(self):
        return SimpleNamespace(protocols=self.protocols)

    @property
    def train(self):
        source = arrays(
            {"image": np.zeros((len(self.labels), 4, 4, 1), np.uint8)}
            | {"label": np.array(self.labels)},
            label_names=["ant", "bee"],
        )
        return SimpleNamespace(feed=SimpleNamespace(source=source))


def test_a_class_with_too_few_labels_is_named(monkeypatch):
    asked = [knn(k=1), few_label(labels_per_class=(1, 3))]
    (said,) = scarce(Parts([0, 0, 0, 1, 1], asked))
    assert "evals.few_label: class 'bee' has 2 training examples" in said
    assert "the 3 labels a class" in said
    assert scarce(Parts([0, 0, 0, 1, 1, 1], asked)) == []
    assert scarce(Parts([0, 1], asked, test=None)) == []
    monkeypatch.setattr(module, "MOST", 4)
    assert scarce(Parts([0, 0, 0, 1, 1], asked)) == []
