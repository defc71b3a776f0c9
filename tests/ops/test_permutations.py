"""Permutation sets: what each greedy choice is the best of, and how far sets lie."""

import itertools

import numpy as np
import pytest

from jax_ssl.ops.permutations import permutation_set


def distances(rows):
    """Hamming distances of all pairs of rows."""
    pairs = itertools.combinations(np.asarray(rows), 2)
    return np.array([(a != b).sum() for a, b in pairs])


def random_set(count, seed):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(9) for _ in range(count)])


@pytest.mark.parametrize("criterion", ["mean", "minimum"])
def test_rows_are_distinct_permutations_and_follow_from_the_seed(criterion):
    rows = permutation_set(120, criterion=criterion, seed=3)
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(np.sort(rows, axis=1), [range(9)] * 120)
    assert len(np.unique(rows, axis=0)) == 120
    # Past the cache: made anew.
    again = permutation_set.__wrapped__(120, criterion=criterion, seed=3)
    np.testing.assert_array_equal(rows, again)
    assert (permutation_set(120, criterion=criterion, seed=4) != rows).any()
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = 1


@pytest.mark.parametrize("criterion", ["mean", "minimum"])
def test_each_row_is_the_farthest_of_all_that_are_left(criterion):
    rows = [tuple(row) for row in permutation_set(12, 4, criterion=criterion, seed=1)]
    judge = {"mean": np.mean, "minimum": np.min}[criterion]

    def far(row, chosen):
        return judge([np.sum(np.not_equal(row, other)) for other in chosen])

    for i in range(1, len(rows)):
        left = set(itertools.permutations(range(4))) - set(rows[:i])
        best = max(far(row, rows[:i]) for row in left)
        assert far(rows[i], rows[:i]) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("criterion", ["mean", "minimum"])
@pytest.mark.parametrize("count", [50, 200])
def test_sets_lie_no_nearer_than_random_ones(criterion, count):
    for seed in range(2):
        found = distances(permutation_set(count, criterion=criterion, seed=seed))
        chance = distances(random_set(count, seed))
        assert found.min() >= chance.min()
        assert found.mean() > chance.mean()


def test_the_two_criteria_keep_what_they_say():
    mean, minimum = (
        distances(permutation_set(300, criterion=c)) for c in ("mean", "minimum")
    )
    assert mean.mean() >= minimum.mean()
    assert minimum.min() >= 5 > mean.min()
    # Rows of Latin squares have no place in common, which is all that nine can do.
    assert distances(permutation_set(9, criterion="mean")).min() == 9
    assert distances(permutation_set(9, criterion="minimum")).min() == 9


def test_all_of_them_can_be_had_and_no_more():
    assert len(np.unique(permutation_set(24, 4), axis=0)) == 24
    with pytest.raises(ValueError, match=r"num_permutations = 25 must be in \[2, 24\]"):
        permutation_set(25, 4)
    with pytest.raises(ValueError, match=r"length = 10 must be in \[2, 9\]"):
        permutation_set(5, 10)
    with pytest.raises(ValueError, match="criterion = 'max' must be one of"):
        permutation_set(5, 4, criterion="max")
