import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from jax_ssl.ops.partitions import (
    cluster_sizes,
    mutual_information,
    partition_entropy,
)
from tests.references import clustering as reference

shared = jax.jit(mutual_information)


@pytest.mark.parametrize("names", [(3, 5), (12, 2), (40, 40)])
def test_shared_information_is_that_of_two_judges(rng, names):
    a = rng.integers(0, names[0], 40)
    b = np.where(
        rng.uniform(size=40) < 0.4, a % names[1], rng.integers(0, names[1], 40)
    )
    got = shared(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(got, reference.mutual_information(a, b), rtol=1e-5)
    judge = normalized_mutual_info_score(a, b, average_method="geometric")
    np.testing.assert_allclose(got, judge, rtol=1e-5)
    np.testing.assert_allclose(got, shared(jnp.asarray(b), jnp.asarray(a)), rtol=1e-6)


def test_other_names_are_the_same_partition(rng):
    a = rng.integers(0, 9, 50)
    names = rng.permutation(100)[:9]
    assert shared(jnp.asarray(a), jnp.asarray(names[a])) == pytest.approx(1, abs=1e-6)


def test_independent_partitions_share_nothing():
    a, b = np.arange(24) % 4, np.arange(24) // 4 % 2
    assert shared(jnp.asarray(a), jnp.asarray(b)) == pytest.approx(0, abs=1e-6)


def test_a_single_cluster_knows_only_its_like(rng):
    one, a = jnp.zeros(20, jnp.int32), jnp.asarray(rng.integers(0, 3, 20))
    assert shared(one, one + 7) == 1
    assert shared(one, a) == 0
    assert shared(a, one) == 0


def test_sizes_and_their_entropy(rng):
    labels = rng.integers(0, 6, 40)
    sizes = cluster_sizes(jnp.asarray(labels), 8)
    np.testing.assert_array_equal(sizes, np.bincount(labels, minlength=8))
    assert sizes.dtype == jnp.int32
    got = partition_entropy(jnp.stack([sizes, jnp.ones_like(sizes)]))
    np.testing.assert_allclose(got, [reference.entropy(labels), np.log(8)], rtol=1e-6)
