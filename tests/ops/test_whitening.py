import jax
import numpy as np
import pytest

from jax_ssl.ops.whitening import pca_whiten, whiten
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.references import assignments as reference
from tests.references import clustering


def mixed(rng, n, D):
    return (rng.normal(size=(n, D)) @ rng.normal(size=(D, D)) + 3).astype(np.float32)


@pytest.mark.parametrize(("n", "D", "shrinkage"), [(32, 5, 0.0), (6, 8, 0.1)])
def test_rows_are_those_of_the_reference(rng, n, D, shrinkage):
    x = mixed(rng, n, D)
    got = whiten(x, shrinkage=shrinkage)
    want = reference.whiten(x, "cholesky", shrinkage)
    np.testing.assert_allclose(got, want, atol=1e-3 * np.abs(want).max())


def test_covariance_is_the_identity(rng):
    x = np.stack([mixed(rng, 64, 6), mixed(rng, 64, 6)])
    for white in np.asarray(whiten(x)):
        np.testing.assert_allclose(np.cov(white.T), np.eye(6), atol=1e-4)
        np.testing.assert_allclose(white.mean(0), 0, atol=1e-5)


def test_cholesky_ignores_lower_triangular_maps(rng):
    x = mixed(rng, 64, 5)
    lower = np.tril(rng.uniform(0.5, 1.5, (5, 5))).astype(np.float32)
    np.testing.assert_allclose(whiten(x @ lower.T + 2), whiten(x), atol=2e-3)


def test_gradient_is_that_of_central_differences(rng):
    x = rng.normal(size=(12, 3)).astype(np.float32)
    weights = rng.normal(size=(12, 3))
    slope = jax.grad(lambda x: (whiten(x) * weights).sum())(x)
    want = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[at] = 1e-5
        ends = [reference.whiten(x + s * step, "cholesky", 0.0) for s in (1, -1)]
        want[at] = ((ends[0] - ends[1]) * weights).sum() / 2e-5
    np.testing.assert_allclose(slope, want, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_whitened_is_refused(rng):
    with pytest.raises(ValueError, match=r"8 rows .* 8 dimensions.*at least 16"):
        whiten(mixed(rng, 8, 8))
    with pytest.raises(ValueError, match="shrinkage = 1"):
        whiten(mixed(rng, 8, 2), shrinkage=1)


def stretched(rng, n, D):
    """Rows of variances 1, 4, 9... along random axes."""
    axes, _ = np.linalg.qr(rng.normal(size=(D, D)))
    return (rng.normal(size=(n, D)) * np.arange(1, D + 1) @ axes + 3).astype("f")


@pytest.mark.parametrize(("dim", "num_rows"), [(3, 40), (5, 33), (9, 40)])
def test_components_are_white_and_the_largest_ones(rng, dim, num_rows):
    x = stretched(rng, 40, 5)
    white = pca_whiten(x, dim, num_rows=num_rows)
    assert white.shape == (40, min(dim, 5))
    known = np.float64(white[:num_rows])
    np.testing.assert_allclose(known.mean(0), 0, atol=1e-4)
    covariance = known.T @ known / num_rows
    np.testing.assert_allclose(covariance, np.eye(min(dim, 5)), atol=1e-4)
    # They span what the leading singular vectors span: all rows, padding too.
    onto = clustering.components(x[:num_rows], dim)
    centred = np.float64(x) - np.float64(x[:num_rows]).mean(0)
    map_, *_ = np.linalg.lstsq(centred @ onto, np.float64(white), rcond=None)
    np.testing.assert_allclose(centred @ onto @ map_, white, atol=1e-3)


def test_directions_without_variance_become_zero(rng):
    x = np.concatenate([stretched(rng, 40, 2), np.full((40, 2), 3.0)], axis=1)
    white = np.asarray(pca_whiten(x, 4))
    np.testing.assert_allclose(white[:, :2].std(0), 1, rtol=1e-4)
    np.testing.assert_array_equal(white[:, 2:], 0)


def test_rows_on_eight_devices_are_whitened_alike(rng):
    x, mesh = stretched(rng, 64, 4), make_mesh()
    with jax.set_mesh(mesh):
        found = jax.jit(lambda x: pca_whiten(x, 3))(
            jax.device_put(x, row_sharding(mesh))
        )
    # Signs are arbitrary.
    np.testing.assert_allclose(np.abs(found), np.abs(pca_whiten(x, 3)), atol=1e-3)


def test_too_little_for_components_is_refused(rng):
    with pytest.raises(ValueError, match="1 rows of 8 in 2 principal"):
        pca_whiten(mixed(rng, 8, 3), 2, num_rows=1)
    with pytest.raises(ValueError, match="in 0 principal"):
        pca_whiten(mixed(rng, 8, 3), 0)
