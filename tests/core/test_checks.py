"""Checks of settings: which values pass, and what is said of the others."""

import dataclasses
import re
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.core import checks

NAN, INF = float("nan"), float("inf")

PASSES = {
    "positive": (checks.positive, (), (0.1, 1, 1e-30, (1, 2.5), None)),
    "at_least": (checks.at_least, (1,), (1, 2, 1.0, [1, 7], (), None)),
    "closed": (checks.within, ("[0, 1]",), (0, 1, 0.5, (0.0, 1.0), None)),
    "half open": (checks.within, ("[0, 1)",), (0, 0.999)),
    "open": (checks.within, ("(0, 1)",), (1e-9, 0.999)),
    "below zero": (checks.within, ("[-1.5, -0.5)",), (-1.5, -0.6)),
    "infinity included": (checks.within, ("(0, inf]",), (1, INF)),
    "words": (checks.one_of, (("mean", "flat"),), ("mean", "flat")),
    "words and none": (checks.one_of, (("mean", None),), ("mean", None)),
}
REFUSED = {
    "positive": (checks.positive, (), (0, -1, NAN, INF, (1, 0)), "positive"),
    "at_least": (checks.at_least, (1,), (0, 0.999, NAN, INF, [1, 0]), "at least 1"),
    "closed": (checks.within, ("[0, 1]",), (-1e-9, 1.001, NAN, INF), "in [0, 1]"),
    "half open": (checks.within, ("[0, 1)",), (1, -0.1, NAN), "in [0, 1)"),
    "open": (checks.within, ("(0, 1)",), (0, 1, NAN), "in (0, 1)"),
    "no infinity": (checks.within, ("[0, inf)",), (INF, NAN), "in [0, inf)"),
    "no NaN": (checks.within, ("[0, inf]",), (NAN, -INF), "in [0, inf]"),
    "words": (
        checks.one_of,
        (("mean", "flat"),),
        ("means", 1, None),
        "one of 'mean', 'flat'",
    ),
}


@pytest.mark.parametrize("case", PASSES)
def test_good_values_pass(case):
    check, limits, values = PASSES[case]
    for value in values:
        check(*limits, setting=value)


@pytest.mark.parametrize("case", REFUSED)
def test_bad_values_are_refused_with_name_value_and_rule(case):
    check, limits, values, rule = REFUSED[case]
    for value in values:
        message = f"setting = {value!r} must be {rule}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check(*limits, setting=value)


def test_the_first_bad_setting_of_several_is_named():
    with pytest.raises(ValueError, match=r"^width = 0 must be at least 1\.$"):
        checks.at_least(1, depth=2, width=0, heads=0)


def test_a_schedule_passes_every_check_of_numbers():
    schedule = optax.constant_schedule(-1.0)
    checks.positive(rate=schedule)
    checks.at_least(0, rate=schedule)
    checks.within("[0, 1]", rate=schedule)


def test_what_may_be_traced_passes():
    jax.jit(lambda x: checks.positive(x=x))(-1.0)
    constant = jnp.float32(-1.0)
    jax.jit(lambda: checks.within("[0, 1]", x=constant))()
    with pytest.raises(ValueError, match=r"^x = -0\.5 must be positive\.$"):
        checks.positive(x=np.float32(-0.5))


def test_words_of_a_dataclass_are_those_of_its_annotations():
    @dataclasses.dataclass
    class Pool:
        kind: Literal["mean", "flat"] = "mean"
        title: str = "anything"

        def __post_init__(self):
            checks.words(self)

    Pool("flat", "something")
    message = r"^kind = 'max' must be one of 'mean', 'flat'\.$"
    with pytest.raises(ValueError, match=message):
        Pool("max")


def test_settings_in_order_may_be_equal_but_not_fall():
    checks.rising(low=0.1, middle=0.1, high=2)
    with pytest.raises(ValueError, match=r"^middle = 3 must be at most high = 2\.$"):
        checks.rising(low=0.1, middle=3, high=2)
    with pytest.raises(ValueError, match="low = nan must be at most high = 1"):
        checks.rising(low=NAN, high=1)


def test_a_sequence_must_hold_something():
    checks.not_empty(places=(1,))
    with pytest.raises(ValueError, match=r"^places = \(\) must hold at least one"):
        checks.not_empty(places=())
