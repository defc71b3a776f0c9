"""The linear probe: multinomial logistic regression on frozen features, swept.

Zhang et al., 2016, arXiv:1603.08511, and most papers since. Choosing on held-out
training images follows BYOL (Grill et al., 2020, arXiv:2006.07733); training the heads
of a sweep side by side follows DINOv2 (Oquab et al., 2023, arXiv:2304.07193).
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jax_ssl.evaluate.features import FeatureSet, everywhere
from jax_ssl.evaluate.heads import fit_heads, score
from jax_ssl.evaluate.labels import hold_out, labels_of

LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
WEIGHT_DECAYS = (0.0, 1e-4, 1e-3, 1e-2)


def linear(
    train: FeatureSet,
    test: FeatureSet,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    weight_decays: Sequence[float] = WEIGHT_DECAYS,
    epochs: int = 100,
    batch_size: int = 256,
    scaling: str = "standardize",
    held_out: float = 0.1,
    seed: int = 0,
) -> dict[str, Any]:
    """Test accuracy of a linear classifier trained on all of train.

    One compiled program trains a head for every pair of learning rate and weight decay
    on the same batches of a stratified part of train. The pair of highest accuracy on
    the rest of train (of lowest loss there, among equals) is trained anew on all of
    train, and that head sees test, once. Training is SGD with Nesterov momentum 0.9
    from zero, on a cosine schedule without warm-up.

    Args:
        train: features with labels.
        test: features with labels.
        learning_rates: at the start of the cosine, as they are: not per 256 images.
        weight_decays: weights of ½‖kernel‖² in the loss; the bias is free.
        epochs: of each training.
        batch_size: or all examples, where there are fewer. What fills no batch is left
            out of an epoch; every epoch has an order of its own.
        scaling: "standardize" subtracts the mean of each feature over the examples that
            the head is trained on and divides by their standard deviation (features
            that do not vary become zero); "none" leaves the features as they are.
        held_out: share of every class that the choice is made on.
        seed: of the held-out part and of the order of examples.

    Returns:
        {"accuracy", "accuracy_top5" (None unless there are more than 5 classes),
        "learning_rate", "weight_decay", "validation_accuracy", "validation" (a row for
        each pair: "learning_rate", "weight_decay", "accuracy", "loss"; a head that
        diverged has accuracy 0 and loss None), "train_loss" (the last epoch's mean of
        the chosen head)}, and "note" if the chosen rate is the least or the largest of
        the grid. Accuracies are fractions.

    Raises:
        ValueError: if labels are missing, no class can spare an example to hold out, a
            setting is out of range, or no head ends with a finite loss.

    Note:
        Published probes train on random crops; these features are cached, without
        augmentation, as in W-MSE (Ermolov et al., 2021, arXiv:2007.06346).
    """
    _check(learning_rates, weight_decays, epochs, batch_size, scaling)
    num_classes, train_labels, test_labels = labels_of(train, test)
    fitted, validation = hold_out(train_labels, held_out, seed)
    pairs = list(itertools.product(learning_rates, weight_decays))
    features, labels = everywhere(train.features), everywhere(train_labels)
    fit = partial(
        fit_heads,
        features,
        labels,
        key=jax.random.key(seed),
        num_classes=num_classes,
        epochs=epochs,
        batch_size=batch_size,
        scaling=scaling,
    )
    rates, decays = np.asarray(pairs, np.float32).T
    heads, _ = fit(fitted, rates, decays)
    scores = score(heads, train.features, train_labels, validation)
    best = min(
        range(len(pairs)), key=lambda i: (-scores["accuracy"][i], scores["loss"][i])
    )
    if not np.isfinite(scores["loss"][best]):
        raise ValueError(
            f"all {len(pairs)} heads diverged; lower linear.learning_rates, now "
            f"{tuple(learning_rates)}, or use scaling = 'standardize'."
        )
    everything = np.arange(len(train_labels))
    head, losses = fit(everything, rates[[best]], decays[[best]])
    final = score(head, test.features, test_labels, np.arange(len(test_labels)))
    rate, decay = pairs[best]
    steps = len(losses) // epochs
    result: dict[str, Any] = {
        "accuracy": float(final["accuracy"][0]),
        "accuracy_top5": float(final["top5"][0]) if num_classes > 5 else None,
        "learning_rate": rate,
        "weight_decay": decay,
        "validation_accuracy": float(scores["accuracy"][best]),
        "validation": [
            {
                "learning_rate": lr,
                "weight_decay": wd,
                "accuracy": float(accuracy),
                "loss": float(loss) if np.isfinite(loss) else None,
            }
            for (lr, wd), accuracy, loss in zip(
                pairs, scores["accuracy"], scores["loss"], strict=True
            )
        ],
        "train_loss": float(np.mean(losses[-steps:])),
    }
    if len(learning_rates) > 1 and rate in (min(learning_rates), max(learning_rates)):
        result["note"] = f"learning rate {rate:g} is at the edge of the grid."
    return result


def _check(
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    epochs: int,
    batch_size: int,
    scaling: str,
) -> None:
    if not learning_rates or min(learning_rates) <= 0:
        raise ValueError(
            f"linear.learning_rates = {learning_rates} must be positive numbers, at "
            "least one."
        )
    if not weight_decays or min(weight_decays) < 0:
        raise ValueError(
            f"linear.weight_decays = {weight_decays} must be numbers of at least 0, at "
            "least one."
        )
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"linear.{name} = {value} must be at least 1.")
    if scaling not in ("standardize", "none"):
        raise ValueError(
            f"linear.scaling = {scaling!r}; choose 'standardize' or 'none'."
        )
