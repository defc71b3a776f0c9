"""The tests that people wait for convict every fault of `tests/mutants.py`."""

import pytest

from tests.convict import convicted, mutated
from tests.mutants import MUTANTS


@pytest.mark.parametrize("name", MUTANTS)
def test_the_text_that_a_fault_replaces_is_there_once(name):
    assert mutated(MUTANTS[name]) != ""


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_the_default_run_convicts(name):
    assert convicted(MUTANTS[name]), f"no default test sees that {name}"
