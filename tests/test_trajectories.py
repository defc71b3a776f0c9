"""Step for step with the official code: what it said in 20 steps is replayed."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

sys.path.insert(0, str(ROOT / "experiments" / "trajectories"))
try:
    import replay
    import settings
finally:
    sys.path.pop(0)

WRONG = [(name, key) for name, case in replay.CASES.items() for key in case.wrong]


def test_every_case_has_settings_a_record_and_a_wrong_constant():
    records = {path.stem for path in replay.RECORDS.glob("*.npz")}
    assert set(replay.CASES) == set(settings.SETTINGS) == records
    assert all(case.wrong for case in replay.CASES.values())


@pytest.mark.parametrize("name", replay.CASES)
def test_losses_and_parameters_are_those_of_the_official_code(name):
    loss, parameters = replay.apart(name)
    tolerance = replay.CASES[name].tolerance
    assert loss < tolerance
    assert parameters < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), WRONG)
def test_a_wrong_constant_is_noticed(name, key):
    case = replay.CASES[name]
    assert max(replay.apart(name, **{key: case.wrong[key]})) > case.tolerance
