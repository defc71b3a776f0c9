"""Few-shot episodes: N classes, K labelled images of each, many times.

Vinyals et al., 2016, "Matching Networks for One Shot Learning", arXiv:1606.04080, with
classifiers that train no network: class means (Snell et al., 2017, arXiv:1703.05175)
and logistic regression (Tian et al., 2020, arXiv:2003.11539). Ericsson et al., 2021,
arXiv:2011.13377, judge self-supervised encoders so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from jax_ssl.core import checks
from jax_ssl.evaluate.part import Part, gathered
from jax_ssl.evaluate.protocol import (
    Metric,
    Outcome,
    Protocol,
    Skipped,
    classes_of,
)

# Labelled features [n, D], their classes [n], and queries [m, D] to their classes [m].
Classifier: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

NORMAL_95 = 1.96  # Standard errors on both sides hold 95 % of a normal distribution.
AT_A_TIME = 4096  # Rows that are brought to the host.
MOST_STEPS = 1000  # Of logistic regression, as in Tian et al.


def few_shot(
    *,
    ways: int = 5,
    shots: tuple[int, ...] | int = (1, 5),
    queries: int = 15,
    episodes: int = 600,
    classifier: Literal[
        "nearest_centroid", "cosine_centroid", "logistic"
    ] = "nearest_centroid",
    inverse_strength: float = 1.0,
    drawn_from: Literal["test", "both"] = "test",
    seed: int = 0,
    label: str = "label",
) -> Protocol:
    """Mean accuracy over episodes of few classes, with its 95 % interval.

    An episode draws `ways` classes, and of each of them `shots` examples whose labels
    are known and `queries` others that are classified by these alone. Which ones are
    drawn depends on the labels and `seed`, not on the features, so that all kinds of
    features are compared on the same episodes.

    "nearest_centroid" gives the class whose mean has the least Euclidean distance, on
    the features as they are. "cosine_centroid" gives the class for which the mean of
    features of unit length has the largest cosine. "logistic" is scikit-learn's
    multinomial logistic regression on features of unit length, which minimises
    inverse_strength · (sum of cross-entropies) + ½‖kernel‖² and leaves the bias free;
    of two classes it fits one logit.

    Args:
        ways: N, classes of an episode, at least 2.
        shots: K, labelled examples of each, or several, each with an outcome of its
            own.
        queries: of each class.
        episodes: at least 2.
        classifier: one of the three.
        inverse_strength: C, of "logistic" alone.
        drawn_from: "test" draws episodes from the test part alone, which the encoder
            has not seen; "both" from the two parts together, as Ericsson et al. do with
            data sets that it was not trained on.
        seed: of the episodes.
        label: field that is predicted.

    Returns:
        A protocol whose spread is half the 95 % interval of the mean, 1.96 · σ /
        √episodes, where σ is the standard deviation over episodes with the divisor
        episodes - 1. Classes with fewer than shots + queries examples are never drawn,
        and the result says how many; a number of shots for which fewer than `ways`
        classes remain is skipped.

    Raises:
        ValueError: if a setting is out of range, or no number of shots is given.
    """
    several = (shots,) if isinstance(shots, int) else tuple(shots)
    checks.not_empty(shots=several)
    checks.at_least(2, ways=ways, episodes=episodes)
    checks.at_least(1, shots=several, queries=queries)
    checks.positive(inverse_strength=inverse_strength)

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        _, known, asked = classes_of(train, test, label)
        parts, labels = [test], asked
        if drawn_from == "both":
            parts, labels = [train, test], np.concatenate([known, asked])
        classify = classifiers(inverse_strength)[classifier]
        _, counts = np.unique(labels[labels >= 0], return_counts=True)
        for n in several:
            large = int((counts >= n + queries).sum())
            if large < ways:
                yield Skipped(
                    f"{large} classes have {n + queries} examples, {n} shots and "
                    f"{queries} queries, fewer than the {ways} of an episode"
                )
                continue
            rows = draw_episodes(labels, ways, n, queries, episodes=episodes, seed=seed)
            accuracies = accuracies_of(_rows_of(parts, rows), n, classify)
            deviation = float(accuracies.std(ddof=1))
            half = NORMAL_95 * deviation / np.sqrt(episodes)
            detail: dict[str, Any] = {"standard_deviation": deviation}
            if small := len(counts) - large:
                detail["note"] = (
                    f"{small} classes have fewer than {n + queries} examples and are "
                    "never drawn."
                )
            settings: dict[str, Any] = {
                "ways": ways,
                "shots": n,
                "queries": queries,
                "episodes": episodes,
                "classifier": classifier,
                "drawn_from": drawn_from,
                "seed": seed,
            }
            if classifier == "logistic":
                settings["inverse_strength"] = inverse_strength
            where = "the test part" if drawn_from == "test" else "both parts"
            yield Outcome(
                title=f"{ways}-way {n}-shot",
                settings=settings,
                values={"accuracy": float(accuracies.mean())},
                spread=float(half),
                detail=detail,
                remark=(
                    f"{ways}-way: {classifier.replace('_', ' ')}, mean ± 95 % interval "
                    f"over {episodes} episodes of {where}, {queries} queries a class"
                ),
            )

    metrics = (Metric("accuracy"),)
    return Protocol(
        name="few_shot",
        needs=(label,),
        metrics=metrics,
        run=run,
        told_apart=drawn_from,
    )


def draw_episodes(
    labels: np.ndarray,
    ways: int,
    shots: int,
    queries: int,
    *,
    episodes: int,
    seed: int,
) -> np.ndarray:
    """Rows of the examples of every episode.

    Queries are drawn first, so that episodes of fewer shots are parts of those of more
    where all classes are large enough for both.

    Args:
        labels: [N] integers, negative where an example does not count.
        ways: classes of an episode, at most those with enough examples.
        shots: labelled examples of a class.
        queries: of a class.
        episodes: how many.
        seed: of all episodes.

    Returns:
        [episodes, ways, queries + shots] int64, without any row twice in an episode.
    """
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    _, starts = np.unique(labels[order], return_index=True)
    members = [m for m in np.split(order, starts[1:]) if len(m) >= shots + queries]
    found = np.empty((episodes, ways, queries + shots), np.int64)
    for episode in range(episodes):
        generator = np.random.default_rng([seed, episode])
        for way, chosen in enumerate(generator.permutation(len(members))[:ways]):
            rows = generator.permutation(members[chosen])
            found[episode, way] = rows[: queries + shots]
    return found


def accuracies_of(
    features: Iterator[np.ndarray], shots: int, classify: Classifier
) -> np.ndarray:
    """Accuracy of every episode [episodes].

    Args:
        features: of each episode, [ways, queries + shots, D] float64.
        shots: how many of the last ones of each class are labelled.
        classify: predicts the classes of the queries.
    """
    # Imported here: most commands classify nothing.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    found = []
    with threadpool_limits(limits=1):  # An episode is too small for several threads.
        for episode in features:
            ways, each, width = episode.shape
            asked, labelled = np.split(episode, [each - shots], axis=1)
            predicted = classify(
                labelled.reshape(-1, width),
                np.arange(ways).repeat(shots),
                asked.reshape(-1, width),
            )
            found.append(np.mean(predicted == np.arange(ways).repeat(each - shots)))
    return np.array(found)


def classifiers(inverse_strength: float) -> Mapping[str, Classifier]:
    """The three classifiers by name.

    Args:
        inverse_strength: C of the logistic regression.
    """

    def nearest_centroid(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
        means = _means(x, y)
        # ‖q‖² is the same for all classes and left out.
        return np.argmin(np.square(means).sum(1) - 2 * asked @ means.T, axis=1)

    def cosine_centroid(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return np.argmax(asked @ _unit(_means(_unit(x), y)).T, axis=1)

    def logistic(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
        # Imported here: it takes a second, and most commands fit none.
        from sklearn.linear_model import LogisticRegression

        fit = LogisticRegression(C=inverse_strength, max_iter=MOST_STEPS)
        return fit.fit(_unit(x), y).predict(_unit(asked))

    return {
        "nearest_centroid": nearest_centroid,
        "cosine_centroid": cosine_centroid,
        "logistic": logistic,
    }


def _means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of each class, [ways, D], of rows [n, D] that are sorted by class."""
    return x.reshape(int(y[-1]) + 1, -1, x.shape[-1]).mean(1)


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows of unit length; a row of zeros stays."""
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(lengths > 0, lengths, 1)


def _rows_of(parts: Sequence[Part], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Features of each episode [..., D] float64, brought to the host as they are used.

    Args:
        parts: one after the other.
        rows: [episodes, ways, examples] places among those of all parts.
    """
    sizes = [len(part.rows) for part in parts]
    starts = np.cumsum([0, *sizes])
    at_once = max(1, AT_A_TIME // rows[0].size)
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        numbers = some.ravel()
        values = np.empty((len(numbers), *parts[0].values.shape[1:]))
        for part, start, size in zip(parts, starts[:-1], sizes, strict=True):
            inside = (numbers >= start) & (numbers < start + size)
            # The same number of rows each time, so that one program takes them.
            own = np.where(inside, numbers - start, 0)
            values[inside] = gathered(part.values.take(own))[inside]
        yield from values.reshape(*some.shape, -1)
