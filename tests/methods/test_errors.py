"""Loss, gradient and next state of every method, beside float64."""

import pytest

from tests.methods.errors import COMPARISONS, errors

# Of these a test of the same method, or with another miner, says the same.
SLOW = "triplet, semi-hard", "DINO"


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in SLOW else []) for n in COMPARISONS],
)
def test_errors_are_those_of_float32(name):
    found = errors(COMPARISONS[name])
    assert all(error < 1e-5 for error in found.values()), found
