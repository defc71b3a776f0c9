"""t-SNE of frozen features (van der Maaten and Hinton, JMLR 2008), by scikit-learn."""

import numpy as np

COMPONENTS, PERPLEXITY, STEPS = 50, 30.0, 500


def tsne_map(
    features: np.ndarray, *, seed: int = 0, max_points: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    """Lays features out in the plane so that near neighbours stay near.

    Features are centred, reduced to 50 principal components and moved by 500 steps of
    Barnes-Hut t-SNE of perplexity 30 from their first two components. The same seed and
    features give the same map. Only neighbourhoods mean something: distances between
    far groups, and between two maps, do not.

    Args:
        features: [N, D] finite. Scale rows to unit length beforehand where cosine is
            the similarity that matters.
        seed: of the sample and of the solver.
        max_points: M = min(N, max_points) rows are drawn without replacement. A second
            thousand takes three times as long and shows nothing more.

    Returns:
        Points of the plane, [M, 2] float32, and the rows of the features that they
        stand for, [M] int64, ascending. Below five rows the points are their first two
        principal components; where all rows are equal every point is the origin.

    Note:
        The solver runs on one thread: its parallel sums depend on the order in which
        threads finish, which would break the promise of the same map.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(features))[:max_points])
    # A column of zeros, for there must be two components.
    points = np.pad(np.asarray(features, np.float32)[rows], ((0, 0), (0, 1)))
    if len(rows) < 2 or not np.ptp(points, axis=0).any():
        return np.zeros((len(rows), 2), np.float32), rows

    # Imported here: they take a second, and most commands never draw a map.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        components = min(COMPONENTS, *points.shape)
        reduced = PCA(components, random_state=seed).fit_transform(points)
        if len(rows) < 5:
            return reduced[:, :2], rows
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        solver = TSNE(
            perplexity=perplexity, init="pca", max_iter=STEPS, random_state=seed
        )
        return solver.fit_transform(reduced), rows
