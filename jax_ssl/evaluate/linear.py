"""The linear probe: multinomial logistic regression on frozen features, swept.

Zhang et al., 2016, arXiv:1603.08511, and most papers since. Choosing on held-out
training images follows BYOL (Grill et al., 2020, arXiv:2006.07733); training the heads
of a sweep side by side follows DINOv2 (Oquab et al., 2023, arXiv:2304.07193).
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from jax_ssl.core import checks
from jax_ssl.evaluate.class_tokens import class_tokens as tokens_of
from jax_ssl.evaluate.heads import fit_heads, score
from jax_ssl.evaluate.part import Part
from jax_ssl.evaluate.protocol import Outcome, Protocol, Skipped, classes_of

LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
WEIGHT_DECAYS = (0.0, 1e-4, 1e-3, 1e-2)


def linear(
    encoder: Any = None,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    weight_decays: Sequence[float] = WEIGHT_DECAYS,
    epochs: int = 100,
    batch_size: int = 256,
    scaling: Literal["standardize", "none"] = "standardize",
    held_out: float = 0.1,
    class_tokens: int = 0,
    mean_patch: bool = False,
    seed: int = 0,
    label: str = "label",
) -> Protocol:
    """Test accuracy of a linear classifier trained on all of train.

    One compiled program trains a head for every pair of learning rate and weight decay
    on the same batches of a stratified part of train. The pair of highest accuracy on
    the rest of train (of lowest loss there, among equals) is trained anew on all of
    train, and that head sees test, once. Training is SGD with Nesterov momentum 0.9
    from zero, on a cosine schedule without warm-up.

    Args:
        encoder: only `class_tokens` asks for it.
        learning_rates: at the start of the cosine, as they are: not per 256 images.
        weight_decays: weights of ½‖kernel‖² in the loss; the bias is free.
        epochs: of each training.
        batch_size: or all examples, where there are fewer. What fills no batch is left
            out of an epoch; every epoch has an order of its own.
        scaling: "standardize" subtracts the mean of each feature over the examples that
            the head is trained on and divides by their standard deviation (features
            that do not vary become zero); "none" leaves the features as they are.
        held_out: share of every class that the choice is made on.
        class_tokens: read the class tokens of a ViT's last so many blocks in the place
            of its pooled features, 4 for DINO's ViT-S; 0 does not.
        mean_patch: and the mean patch token of the last block.
        seed: of the held-out part and of the order of examples.
        label: field that is predicted.

    Returns:
        A protocol whose detail holds "learning_rate", "weight_decay",
        "validation_accuracy", "validation" (a row for each pair: "learning_rate",
        "weight_decay", "accuracy", "loss"; a head that diverged has accuracy 0 and loss
        None), "train_loss" (the last epoch's mean of the chosen head), and "note" if
        the chosen rate is the least or the largest of several. The accuracy among the
        first five is None unless there are more than 5 classes.

    Raises:
        ValueError: if a setting is out of range, or the encoder has no such tokens.

    Note:
        Published probes train on random crops; these features are cached, without
        augmentation, as in W-MSE (Ermolov et al., 2021, arXiv:2007.06346). The method
        `classifier` with a frozen encoder trains as the papers do, see the page
        linear_imagenet.
    """
    checks.positive(learning_rates=learning_rates)
    checks.at_least(0, weight_decays=weight_decays, class_tokens=class_tokens)
    checks.at_least(1, epochs=epochs, batch_size=batch_size)
    checks.at_least(1, number_of_learning_rates=len(learning_rates))
    checks.at_least(1, number_of_weight_decays=len(weight_decays))
    checks.within("(0, 1)", held_out=held_out)
    pairs = list(itertools.product(learning_rates, weight_decays))
    rates, decays = np.asarray(pairs, np.float32).T
    settings = {
        "learning_rates": tuple(learning_rates),
        "weight_decays": tuple(weight_decays),
        "epochs": epochs,
        "batch_size": batch_size,
        "scaling": scaling,
        "held_out": held_out,
        "seed": seed,
    }
    remark = (
        f"linear: best of {len(pairs)} heads on {100 * held_out:g} % of train held "
        f"out, {epochs} epochs"
    )
    reader = None
    if class_tokens:
        reader = tokens_of(encoder, blocks=class_tokens, mean_patch=mean_patch)
        settings |= {"class_tokens": class_tokens, "mean_patch": mean_patch}
        blocks = "block" if class_tokens == 1 else f"{class_tokens} blocks"
        more = ", and the mean patch" if mean_patch else ""
        remark += f"; encoders by the class tokens of the last {blocks}{more}"

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        classes, known, asked = classes_of(train, test, label)
        present, counts = np.unique(known[known >= 0], return_counts=True)
        if len(present) < 2:
            only = classes[present[0]]
            yield Skipped(f"the training examples are all of class {only}")
            return
        if counts.max() < 2:
            yield Skipped("no class has two training examples, one to be held out")
            return
        of_one = train.of_one  # An example's places are never on both sides.
        fitted, validation = (
            (rows[:, None] * of_one + np.arange(of_one)).ravel()
            for rows in hold_out(known[::of_one], held_out, seed)
        )
        fit = partial(
            fit_heads,
            train,
            known,
            key=jax.random.key(seed),
            num_classes=len(classes),
            epochs=epochs,
            batch_size=batch_size,
            scaling=scaling,
        )
        heads, _ = fit(fitted, rates, decays)
        scores = score(heads, train, known, validation)
        best = np.lexsort((scores["loss"], -scores["accuracy"]))[0]
        if not np.isfinite(scores["loss"][best]):
            yield Skipped(
                f"all {len(pairs)} heads diverged; lower linear.learning_rates, now "
                f"{tuple(learning_rates)}, or use scaling = 'standardize'"
            )
            return
        head, losses = fit(np.flatnonzero(known >= 0), rates[[best]], decays[[best]])
        final = score(head, test, asked, np.flatnonzero(asked >= 0))
        rate, decay = pairs[best]
        detail: dict[str, Any] = {
            "learning_rate": rate,
            "weight_decay": decay,
            "validation_accuracy": float(scores["accuracy"][best]),
            "train_loss": float(np.mean(losses[-(len(losses) // epochs) :])),
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
        }
        edges = min(learning_rates), max(learning_rates)
        if len(learning_rates) > 1 and rate in edges:
            detail["note"] = f"learning rate {rate:g} is at the edge of the grid."
        top5 = float(final["top5"][0]) if len(classes) > 5 else None
        yield Outcome(
            title="linear",
            settings=settings,
            values={"accuracy": float(final["accuracy"][0]), "accuracy_top5": top5},
            detail=detail,
            remark=remark,
        )

    return Protocol(name="linear", needs=(label,), run=run, reader=reader)


def hold_out(
    labels: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows into a part to fit and a part to choose by, class by class.

    Of a class of n examples round(share · n) are held out, but at least one and at most
    n - 1: a class of one example is fitted only.

    Args:
        labels: [N] integers, negative where an example does not count.
        share: in (0, 1).
        seed: of the draw.

    Returns:
        (fitted, held out), rising rows.
    """
    generator = np.random.default_rng(seed)
    there, held = np.flatnonzero(labels >= 0), []
    for label in np.unique(labels[there]):
        rows = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held.append(rows[:count])
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(there, validation), validation
