"""Loss, gradient and next state of every method, beside float64."""

import pytest

from tests.methods.errors import COMPARISONS, errors


@pytest.mark.parametrize("name", COMPARISONS)
def test_errors_are_those_of_float32(name):
    found = errors(COMPARISONS[name])
    assert all(error < 1e-5 for error in found.values()), found
