"""Settings to calls: types, defaults, schedules, partials, and what is refused."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optax
import pytest

from jax_ssl.config.bind import accepted, bind, resolve
from jax_ssl.data.folder import folder
from jax_ssl.optim.rules import Rates


def factory(
    encoder,
    views,
    *,
    temperature: float = 0.1,
    widths: tuple[int, ...] = (1, 2),
    scales: tuple[float, float] = (0.08, 1.0),
    rate: optax.Schedule = 1.0,
    rates: Rates = (),
    clip: float | None = None,
    pool: Literal["mean", "flat"] = "mean",
    mean: Sequence[float] | None = None,
    extra: Mapping[str, Any] | None = None,
    needed: int,
):
    """A factory such as every section of a config names."""
    return locals()


WIRES = {
    "encoder": "e",
    "views": "v",
    "total_steps": 100,
    "steps_per_epoch": 10,
    "batch_size": 256,
    "unused": 0,
}


def test_wires_go_by_name_and_settings_by_keyword():
    bound = bind(factory, WIRES, {"needed": 3, "widths": [4, 5, 6]})
    assert bound["encoder"] == "e"
    assert bound["needed"] == 3
    assert bound["widths"] == (4, 5, 6)


def test_an_int_is_a_fine_float():
    bound = bind(factory, WIRES, {"needed": 3, "temperature": 1})
    assert isinstance(bound["temperature"], float)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"needed": 1, "temprature": 1.0}, "'temprature'; did you mean 'temperature'?"),
        ({}, "needs the setting 'needed'"),
        ({"needed": 1.5}, "'needed' = 1.5 must be int, not float"),
        ({"needed": True}, "'needed' = True must be int, not bool"),
        ({"needed": 1, "temperature": "0.1"}, "must be float, not str"),
        ({"needed": 1, "temperature": True}, "must be float, not bool"),
        (
            {"needed": 1, "widths": (1, "2")},
            r"'widths'\[1\] = '2' must be int, not str",
        ),
        ({"needed": 1, "widths": 3}, r"must be tuple\[int, ...\], not int"),
        (
            {"needed": 1, "scales": (1.0,)},
            r"tuple\[float, float\], that is 2 values, not 1",
        ),
        ({"needed": 1, "clip": "no"}, r"must be float \| None, not str"),
        ({"needed": 1, "pool": "men"}, "'pool' = 'men' must be 'mean' | 'flat', not"),
        (
            {"needed": 1, "mean": (0.1, "x")},
            r"'mean'\[1\] = 'x' must be float, not str",
        ),
        (
            {"needed": 1, "extra": [1]},
            r"must be Mapping\[str, .*Any\] \| None, not list",
        ),
        ({"needed": 1, "rate": "fast"}, "'rate' = 'fast' must be a number or dict"),
        ({"needed": 1, "rate": None}, "'rate' = None must be a number or dict"),
        ({"needed": 1, "rate": {"name": "cosin"}}, "did you mean 'cosine'"),
        ({"needed": 1, "rate": {"init_value": 1}}, "'rate' needs a 'name': one of"),
        (
            {"needed": 1, "rate": {"name": "warmup_cosine", "peak_valu": 1.0}},
            "warmup_cosine.. has no setting 'peak_valu'; did you mean 'peak_value'",
        ),
        ({"needed": 1, "rates": {"a": 1.0}}, "'rates' = .* must be pairs of a pattern"),
        (
            {"needed": 1, "rates": [("a", "fast")]},
            r"'rates'\[0\]\[1\] = 'fast' must be a number or dict",
        ),
        ({"needed": 1, "rates": [("a", {"name": "cosin"})]}, "mean 'cosine'"),
        ({"needed": 1, "rates": [("a", 1.0, 2.0)]}, r"'rates'\[0\] = .* must be tuple"),
    ],
)
@pytest.mark.parametrize("call", ["bind", "resolve"])
def test_a_bad_setting_is_named_with_its_remedy(settings, message, call):
    with pytest.raises(ValueError, match=message):
        bind(factory, WIRES, settings) if call == "bind" else resolve(factory, settings)


def test_an_unknown_setting_without_a_near_one_gets_a_list_of_them_all():
    own = "clip, extra, mean, needed, pool, rate, rates, scales, temperature, widths"
    message = f"^factory\\(\\) has no setting 'zzz'; it has {own}\\.$"
    with pytest.raises(ValueError, match=message):
        resolve(factory, {"needed": 1, "zzz": 1.0})


def test_a_missing_wire_is_named():
    with pytest.raises(ValueError, match=r"needs \['views'\]"):
        bind(factory, {"encoder": "e"}, {"needed": 1})


def test_a_schedule_may_be_a_number_or_a_named_one():
    assert bind(factory, WIRES, {"needed": 1, "rate": 3})["rate"](7) == 3.0
    named = {"name": "warmup_cosine", "peak_value": 2.0, "warmup_epochs": 1}
    schedule = bind(factory, WIRES, {"needed": 1, "rate": named})["rate"]
    assert float(schedule(10)) == pytest.approx(2.0)
    assert float(schedule(0)) == 0.0


def test_a_schedule_default_is_bound_too():
    assert bind(factory, WIRES, {"needed": 1})["rate"](0) == 1.0


def test_rates_are_pairs_of_a_pattern_and_a_schedule():
    named = {"name": "cosine", "init_value": 2.0}
    rates = [["^head/", named], ["bias$", 3], ["^stem/", None]]
    bound = bind(factory, WIRES, {"needed": 1, "rates": rates})["rates"]
    assert [pattern for pattern, _ in bound] == ["^head/", "bias$", "^stem/"]
    assert float(bound[0][1](50)) == pytest.approx(1.0)
    assert bound[1][1](50) == 3.0
    assert bound[2][1] is None
    full = resolve(factory, {"needed": 1, "rates": rates})["rates"]
    assert full[0][1]["end_value"] == 0.0
    assert full[1:] == (("bias$", 3), ("^stem/", None))


def test_schedules_in_a_plain_tuple_are_made_one_by_one():
    def staged(*, rates: tuple[optax.Schedule, ...] = (1.0, 2)):
        return rates

    assert [rate(5) for rate in bind(staged, WIRES, {})] == [1.0, 2.0]
    falling = {"name": "cosine", "init_value": 2.0}
    (made,) = bind(staged, WIRES, {"rates": [falling]})
    assert float(made(50)) == pytest.approx(1.0)


def test_resolve_fills_every_default():
    named = {"name": "warmup_cosine", "peak_value": 2.0}
    full = resolve(factory, {"needed": 1, "rate": named})
    assert full["temperature"] == 0.1
    assert full["clip"] is None
    assert full["rate"]["name"] == "warmup_cosine"
    assert "warmup_epochs" in full["rate"]


def test_a_number_or_a_schedule_is_always_made_a_schedule():
    def decayed(*, weight_decay: optax.Schedule | float = 0.5):
        return weight_decay

    assert bind(decayed, WIRES, {})(3) == 0.5
    assert bind(decayed, WIRES, {"weight_decay": 2})(3) == 2.0
    rising = {"name": "linear", "init_value": 0.0, "end_value": 1.0}
    assert float(bind(decayed, WIRES, {"weight_decay": rising})(50)) == 0.5
    assert resolve(decayed, {"weight_decay": rising})["weight_decay"]["epochs"] is None


def test_a_schedule_that_is_a_function_already_stays_itself():
    schedule = optax.constant_schedule(3.0)
    assert bind(factory, WIRES, {"needed": 1, "rate": schedule})["rate"] is schedule


def test_the_keywords_of_a_partial_are_defaults():
    narrow = functools.partial(factory, temperature=0.5, needed=7, widths=(3,))
    assert resolve(narrow, {})["temperature"] == 0.5
    assert resolve(narrow, {"temperature": 1})["temperature"] == 1.0
    assert bind(narrow, WIRES, {"widths": [4, 5]})["widths"] == (4, 5)
    assert bind(narrow, WIRES, {})["needed"] == 7
    assert accepted(narrow) == accepted(factory)
    with pytest.raises(ValueError, match=r"^factory\(\) has no setting 'temprature'"):
        bind(narrow, WIRES, {"temprature": 1.0})


def test_the_outer_of_two_partials_decides():
    inner = functools.partial(factory, temperature=0.5, needed=7)
    inner.__doc__ = "A partial with attributes is kept as it is by the next one."
    outer = functools.partial(inner, temperature=0.25)
    assert isinstance(outer.func, functools.partial)
    assert resolve(outer, {})["temperature"] == 0.25
    assert resolve(outer, {})["needed"] == 7


@pytest.mark.parametrize(
    "held",
    [
        functools.partial(factory, "mine", needed=1),
        functools.partial(factory, encoder="mine", needed=1),
    ],
)
def test_a_wire_that_a_partial_holds_is_not_replaced(held):
    assert bind(held, {"encoder": "e", "views": "v"}, {})["encoder"] == "mine"
    assert bind(held, {"views": "v"}, {})["encoder"] == "mine"
    with pytest.raises(ValueError, match=r"needs \['views'\]"):
        bind(held, {"encoder": "e"}, {})


def test_a_dataclass_is_a_factory():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Section:
        length: int
        doctor: dict | None = dataclasses.field(default_factory=dict)

    assert resolve(Section, {"length": 2}) == {"length": 2, "doctor": {}}
    assert bind(Section, {}, {"length": 2, "doctor": None}).doctor is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((0,), "2 values, not 1"),
        ((-1, float("inf")), "'range'[1] = inf must be a finite number"),
        ((0, float("nan")), "'range'[1] = nan must be a finite number"),
        ("a", "must be tuple"),
    ],
)
def test_a_range_says_what_is_wrong_with_it_and_what_it_is(wrong, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        resolve(folder, {"path": "x", "range": wrong})
    assert "two finite numbers, the first below the second" in str(error.value)
