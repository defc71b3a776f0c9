"""t-SNE of frozen features (van der Maaten and Hinton, JMLR 2008), by scikit-learn."""

from typing import NamedTuple

import numpy as np

COMPONENTS = 50


class FeatureMap(NamedTuple):
    """Points of the plane and the rows of the features that they stand for."""

    points: np.ndarray  # [M, 2] float32
    rows: np.ndarray  # [M] int64, ascending


def tsne_map(
    features: np.ndarray,
    *,
    seed: int = 0,
    max_points: int = 2000,
    perplexity: float = 30.0,
) -> FeatureMap:
    """Lays features out in the plane so that near neighbours stay near.

    Features are centred, reduced to 50 principal components and moved by 1000 steps of
    Barnes-Hut t-SNE from their first two components. The same seed and features give
    the same map. Only neighbourhoods mean something: distances between far groups, and
    between two maps, do not.

    Args:
        features: [N, D] finite. Scale rows to unit length beforehand where cosine is
            the similarity that matters.
        seed: of the sample and of the solver.
        max_points: M = min(N, max_points) rows are drawn without replacement.
        perplexity: effective number of neighbours; lowered to (M - 1) / 3 where there
            are too few rows for it.

    Returns:
        The map. Below five rows it is their first two principal components; where all
        rows are equal every point is the origin.

    Raises:
        ValueError: if `features` is not [N, D] or holds values that are not finite.

    Note:
        The solver runs on one thread: its parallel sums depend on the order in which
        threads finish, which would break the promise of the same map.
    """
    features = np.asarray(features, np.float32)
    if features.ndim != 2:
        raise ValueError(f"features has shape {features.shape}; t-SNE needs [N, D].")
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features).all(axis=1)).sum())
        raise ValueError(
            f"{bad} of {len(features)} feature rows are not finite; drop them first."
        )
    rows = np.arange(len(features))
    if len(rows) > max_points:
        drawn = np.random.default_rng(seed).permutation(len(rows))[:max_points]
        rows = np.sort(drawn)
    points = features[rows] - features[rows].mean(axis=0) if len(rows) else features
    if len(rows) < 2 or not np.ptp(points, axis=0).any():
        return FeatureMap(np.zeros((len(rows), 2), np.float32), rows)

    # Imported here: they take a second, and most commands never draw a map.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    components = min(COMPONENTS, *points.shape)
    with threadpool_limits(limits=1):
        reduced = PCA(components, random_state=seed).fit_transform(points)
        start = np.zeros((len(rows), 2), np.float32)
        start[:, : min(2, components)] = reduced[:, :2]
        if len(rows) < 5:
            return FeatureMap(start, rows)
        solver = TSNE(  # 1000 steps are its default; the argument's name has changed.
            perplexity=min(perplexity, (len(rows) - 1) / 3),
            init=start / start[:, 0].std() * 1e-4,
            learning_rate="auto",
            random_state=seed,
        )
        return FeatureMap(solver.fit_transform(reduced), rows)
