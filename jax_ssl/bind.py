"""Settings to calls: a factory's signature is the schema of its section.

Positional parameters are *wires*, facts that the builder knows (encoder, views, batch
size). Keyword-only ones are *settings*, what a person chooses; their annotations are
checked. There is no second description of either.
"""

import collections.abc
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optax

from jax_ssl.optim import SCHEDULES
from jax_ssl.optim.rules import Rates


def bind(
    factory: Callable[..., Any], wires: Mapping[str, Any], settings: Mapping[str, Any]
) -> Any:
    """Calls `factory` with its wires by name and its settings checked.

    A setting annotated `optax.Schedule` may be a number (constant) or a mapping with a
    "name" in `SCHEDULES`, itself bound with the same wires; so may the second of each
    pair in a setting annotated `Rates`. Lists become tuples.

    Raises:
        ValueError: for an unknown setting (naming the nearest known one), a value that
            is not of the annotated type, a missing setting, or a missing wire without a
            default.
    """
    positional, _ = _parameters(factory)
    given = {name: wires[name] for name in positional if name in wires}
    missing = [
        name
        for name, parameter in positional.items()
        if name not in given and parameter.default is parameter.empty
    ]
    if missing:
        raise ValueError(f"{_label(factory)} needs {missing}, which this run has not.")
    return factory(**given, **_checked(factory, wires, settings))


def resolve(factory: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with every default of `factory` filled in; schedules resolved too.

    Raises:
        ValueError: for an unknown or missing setting.
    """
    _, keyword = _parameters(factory)
    _refuse_unknown(factory, settings, keyword)
    hints = typing.get_type_hints(factory)
    full = {}
    for name, parameter in keyword.items():
        value = settings.get(name, parameter.default)
        if value is inspect.Parameter.empty:
            raise ValueError(f"{_label(factory)} needs the setting {name!r}.")
        if _is_schedule(hints.get(name)):
            value = _resolved_schedule(name, value)
        if hints.get(name) == Rates:
            value = _map_rates(factory, name, value, _resolved_schedule)
        full[name] = value
    return full


def accepted(factory: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the settings of `factory`."""
    return tuple(_parameters(factory)[1])


def pick(
    table: Mapping[str, Callable[..., Any]], section: Mapping[str, Any], title: str
) -> Callable[..., Any]:
    """The factory that `section["name"]` stands for.

    Raises:
        ValueError: if there is no name, or none such in the table.
    """
    if "name" not in section:
        raise ValueError(f"config.{title} needs a 'name': one of {sorted(table)}.")
    name = section["name"]
    if name not in table:
        raise ValueError(
            f"config.{title}.name = {name!r} is not one of {sorted(table)}"
            f"{nearest(str(name), table)}."
        )
    return table[name]


def without_name(section: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a section."""
    return {key: value for key, value in section.items() if key != "name"}


def nearest(name: str, known: Iterable[str]) -> str:
    """A question such as "; did you mean 'temperature'?", or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _parameters(
    factory: Callable[..., Any],
) -> tuple[dict[str, inspect.Parameter], dict[str, inspect.Parameter]]:
    parameters = inspect.signature(factory).parameters.values()
    positional = {p.name: p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    keyword = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    return positional, keyword


def _checked(
    factory: Callable[..., Any], wires: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    _, keyword = _parameters(factory)
    _refuse_unknown(factory, settings, keyword)
    hints = typing.get_type_hints(factory)
    checked = {}
    for name, parameter in keyword.items():
        if name not in settings:
            if parameter.default is inspect.Parameter.empty:
                raise ValueError(f"{_label(factory)} needs the setting {name!r}.")
            if not (_is_schedule(hints.get(name)) and parameter.default is not None):
                continue
        value = settings.get(name, parameter.default)
        hint = hints.get(name, Any)
        if _is_schedule(hint):
            checked[name] = _schedule(factory, name, value, hint, wires)
            continue
        if hint == Rates:
            checked[name] = _map_rates(
                factory,
                name,
                value,
                lambda label, rate: _schedule(
                    factory, label, rate, optax.Schedule | None, wires
                ),
            )
            continue
        ok, value = _fit(value, hint)
        if not ok:
            raise ValueError(
                f"{_label(factory)} setting {name!r} = {value!r} must be "
                f"{_describe(hint)}, not {type(value).__name__}."
            )
        checked[name] = value
    return checked


def _refuse_unknown(
    factory: Callable[..., Any],
    settings: Mapping[str, Any],
    keyword: Mapping[str, inspect.Parameter],
) -> None:
    for name in settings:
        if name not in keyword:
            hint = nearest(name, keyword)
            raise ValueError(
                f"{_label(factory)} has no setting {name!r}"
                f"{hint or f'; it has {sorted(keyword)}.'}"
            )


def _schedule(
    factory: Callable[..., Any],
    name: str,
    value: Any,
    hint: Any,
    wires: Mapping[str, Any],
) -> optax.Schedule | None:
    if isinstance(value, Mapping):
        return bind(pick(SCHEDULES, value, name), wires, without_name(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return optax.constant_schedule(float(value))
    if callable(value) or (value is None and type(None) in typing.get_args(hint)):
        return value
    raise ValueError(
        f"{_label(factory)} setting {name!r} = {value!r} must be a number or "
        f"dict(name=..., ...) with a name out of {sorted(SCHEDULES)}."
    )


def _resolved_schedule(name: str, value: Any) -> Any:
    """A named schedule with every default filled in; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    maker = pick(SCHEDULES, value, name)
    return {"name": value["name"], **resolve(maker, without_name(value))}


def _map_rates(
    factory: Callable[..., Any],
    name: str,
    value: Any,
    fn: Callable[[str, Any], Any],
) -> tuple[tuple[str, Any], ...]:
    """Applies `fn(label, rate)` to the second of each pair of `Rates`."""
    ok, pairs = _fit(value, tuple[tuple[str, Any], ...])
    if not ok:
        raise ValueError(
            f"{_label(factory)} setting {name!r} = {value!r} must hold pairs of a "
            "pattern and a rate."
        )
    return tuple((at, fn(f"{name} of {at!r}", rate)) for at, rate in pairs)


def _is_schedule(hint: Any) -> bool:
    return hint == optax.Schedule or (
        typing.get_origin(hint) in (typing.Union, types.UnionType)
        and optax.Schedule in typing.get_args(hint)
    )


def _fit(value: Any, hint: Any) -> tuple[bool, Any]:
    """Whether `value` is of the annotated type, and the value in that type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is inspect.Parameter.empty:
        return True, value
    if origin in (typing.Union, types.UnionType):
        for option in args:
            ok, fitted = _fit(value, option)
            if ok:
                return True, fitted
        return False, value
    if origin is typing.Literal:
        return value in args, value
    if hint is None or hint is type(None):
        return value is None, value
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number, float(value) if number else value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if origin in (tuple, list, collections.abc.Sequence):
        if not isinstance(value, list | tuple):
            return False, value
        inner = [a for a in args if a is not Ellipsis]
        if origin is tuple and Ellipsis not in args and len(value) != len(args):
            return False, value
        if len(inner) == 1:
            inner = inner * len(value)
        fits = [_fit(v, h) for v, h in zip(value, inner, strict=True)]
        return all(ok for ok, _ in fits), tuple(v for _, v in fits)
    if origin in (dict, collections.abc.Mapping):
        return isinstance(value, Mapping), value
    if isinstance(hint, type):
        return isinstance(value, hint), value
    return True, value


def _describe(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _label(factory: Callable[..., Any]) -> str:
    return f"{getattr(factory, '__name__', factory)}()"
