"""The accuracy of a method's own classifier, as after fine-tuning."""

from collections.abc import Iterator

import numpy as np

from jax_ssl.evaluate.part import Part
from jax_ssl.evaluate.protocol import Outcome, Protocol


def classification(num_classes: int | None, *, label: str = "label") -> Protocol | None:
    """Top-1 and top-5 accuracy of the scores that the trained head gives.

    Labels are the head's own class numbers, and nothing is fitted, so there are no
    controls. A class wins over those of equal score.

    Args:
        num_classes: of the head; None where the method is no classifier.
        label: field that is predicted.

    Returns:
        The protocol, or None for a method that is no classifier.
    """
    if num_classes is None:
        return None

    def run(train: Part, test: Part) -> Iterator[Outcome]:
        del train
        right = np.zeros(2)
        for scores, labels in test.gathered(label):
            known = labels < num_classes  # Others are of no class that the head has.
            scores, labels = scores[known], labels[known]
            own = np.take_along_axis(scores, labels[:, None], 1)
            larger = (scores > own).sum(axis=1)
            right += (larger < 1).sum(), (larger < 5).sum()
        first, fifth = right / test.counts.sum()
        several = num_classes > 5
        yield Outcome(
            title="classifier",
            settings={"num_classes": num_classes},
            values={"accuracy": first, "accuracy_top5": fifth if several else None},
        )

    return Protocol(
        name="classification",
        reads="head",
        needs=(label,),
        run=run,
        controls=False,
        told_apart="both",
    )
