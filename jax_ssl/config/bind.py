"""Settings to calls: a factory's signature is the schema of its section.

Positional parameters are *wires*, facts that the builder knows (encoder, views, batch
size). Keyword-only ones are *settings*, what a person chooses; their annotations are
checked. There is no second description of either. A `functools.partial` is a factory
too: its keywords are defaults, and the wires that it holds are not asked for.
"""

import dataclasses
import functools
import inspect
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optax

from jax_ssl.config.elsewhere import elsewhere, is_elsewhere, nearest
from jax_ssl.config.ranges import MEANT, RANGES
from jax_ssl.core import checks
from jax_ssl.core.compiling import once
from jax_ssl.optim import OPTIMIZERS, SCHEDULES
from jax_ssl.optim.rules import Groups, Rates

Factory = Callable[..., Any]
Settings = Mapping[str, Any]

NEEDED = inspect.Parameter.empty  # The default of a setting that has none.
UNIONS = (typing.Union, types.UnionType)
SEQUENCES = (tuple, Sequence)
# What float32 and the 32 bits of a key or an array's side can hold.
LARGEST, INTEGERS = float(np.finfo(np.float32).max), range(-(2**31), 2**32)
MODULE_FIELDS = ("parent", "name")  # Flax gives them to every module.
WORDS = {
    optax.Schedule: "schedule",
    Rates: "pairs of a pattern and a schedule",
    Groups: "pairs of a pattern and an optimizer",
    types.NoneType: "None",
}


class Schema(NamedTuple):
    """What a factory takes, by name.

    Attributes:
        wires: its positional parameters.
        settings: its keyword-only parameters.
    """

    wires: dict[str, inspect.Parameter]
    settings: dict[str, inspect.Parameter]


def unwrapped(factory: Factory) -> tuple[Factory, int, dict[str, Any]]:
    """The function in partials, the number of arguments they hold, their keywords."""
    held = 0
    keywords: dict[str, Any] = {}
    while isinstance(factory, functools.partial):
        held, keywords = held + len(factory.args), {**factory.keywords, **keywords}
        factory = factory.func
    return factory, held, keywords


def schema(factory: Factory) -> Schema:
    """Reads the signature of a function or class, or of a partial of one."""
    factory, held, defaults = unwrapped(factory)
    if dataclasses.is_dataclass(factory):
        for field in dataclasses.fields(factory):
            if field.default_factory is not dataclasses.MISSING:
                defaults.setdefault(field.name, field.default_factory())
    found = Schema({}, {})
    own = inspect.signature(factory, eval_str=True).parameters
    for name, parameter in list(own.items())[held:]:
        if name in defaults:
            parameter = parameter.replace(default=defaults[name])
        if parameter.annotation is parameter.empty:
            parameter = parameter.replace(annotation=Any)
        if parameter.kind is parameter.KEYWORD_ONLY and name not in MODULE_FIELDS:
            found.settings[name] = parameter
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in defaults:
            found.wires[name] = parameter
    return found


def bind(factory: Factory, wires: Settings, settings: Settings) -> Any:
    """Calls `factory` with its wires by name and its settings checked.

    A setting annotated `optax.Schedule` may be a number (constant) or a mapping with a
    "name" in `SCHEDULES`, itself bound with the same wires; so may the second of each
    pair in a setting annotated `Rates`. In one annotated `Groups` the second is a
    mapping with a "name" in `OPTIMIZERS`. Lists become tuples.

    Raises:
        ValueError: for an unknown setting (naming the nearest known one), a value that
            is not of the annotated type, a missing setting, or a missing wire without a
            default.
    """
    wanted = schema(factory).wires
    given = {name: wires[name] for name in wanted if name in wires}
    missing = [n for n, p in wanted.items() if n not in given and p.default is NEEDED]
    if missing:
        raise ValueError(
            f"{_label(factory)} needs {missing}, which this run has not; what a config "
            "sets are keyword-only arguments."
        )
    values = resolve(factory, settings, wires)
    try:
        return factory(**given, **values)
    except OSError:
        raise
    except Exception as error:
        named = any(name in str(error) for name in values)
        if foreseen(error) or (isinstance(error, ValueError) and named):
            raise
        # What no check foresaw; with --verbose the traceback is printed.
        said = ", ".join(f"{name} = {value!r}" for name, value in settings.items())
        raise ValueError(f"{reason(error)} ({_label(factory)} with {said}).") from error


def resolve(
    factory: Factory, settings: Settings, wires: Settings | None = None
) -> dict[str, Any]:
    """All settings of `factory`, checked, every default filled in; lists as tuples.

    Args:
        factory: whose settings.
        settings: those that are given.
        wires: if given, schedules are made into functions with them; otherwise numbers
            and schedules stay as they are written, the latter with their defaults.

    Raises:
        ValueError: for an unknown or missing setting, or a value of another type.
    """
    known, label = schema(factory).settings, _label(factory)
    refuse_unknown(label, settings, known)
    values = {}
    for name, parameter in known.items():
        value = settings.get(name, parameter.default)
        if value is NEEDED:
            raise ValueError(f"{label} needs the setting {name!r}.")
        title = f"{label} setting {name!r}"
        try:
            values[name] = _fit(value, parameter.annotation, title, wires)
        except ValueError as error:
            if name not in MEANT:
                raise
            raise ValueError(f"{error} It must be {MEANT[name]}.") from error
        if name in RANGES:
            try:
                _refuse_outside(RANGES[name], name, values[name], wires)
            except ValueError as error:
                if isinstance(value, Mapping):  # Values of a schedule.
                    raise ValueError(f"{error} ({dict(value)})") from error
                raise
    return values


def reason(error: BaseException) -> str:
    """The first line of an error's message, or its name where it says nothing."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def foreseen(error: BaseException) -> bool:
    """Whether it is the sentence of one of this library's own checks."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = str(frames[-1].f_globals.get("__name__")).startswith("jax_ssl.")
    return isinstance(error, ValueError) and inside and str(error).endswith((".", "?"))


def accepted(factory: Factory) -> tuple[str, ...]:
    """Names of the settings of `factory`."""
    return tuple(schema(factory).settings)


def split(
    factory: Factory, settings: Settings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that `factory` has, and the others."""
    known = accepted(factory)
    own = {key: value for key, value in settings.items() if key in known}
    return own, {key: value for key, value in settings.items() if key not in known}


def pick(
    table: Mapping[str, Factory], section: Settings, title: str
) -> tuple[Factory, dict[str, Any]]:
    """The factory that `section["name"]` stands for, and the section's other settings.

    The name is one of the table, or of a thing elsewhere, "my_package.nnclr:nnclr".
    `title` names the section in messages.

    Raises:
        ValueError: if there is no name, or none such in the table.
    """
    settings = dict(section)
    if "name" not in settings:
        raise ValueError(f"{title} needs a 'name': one of {sorted(table)}.")
    name = settings.pop("name")
    if is_elsewhere(name):
        return elsewhere(name, title), settings
    if not isinstance(name, str) or name not in table:
        raise ValueError(
            f"{title}.name = {name!r} is not one of {sorted(table)}"
            f"{nearest(str(name), table) or '.'}"
        )
    return table[name], settings


def refuse_unknown(
    title: str, names: Iterable[str], known: Iterable[str], kind: str = "setting"
) -> None:
    """Refuses a name of a setting, or of another kind, that is not a known one.

    Raises:
        ValueError: with the nearest known name, or with all of them if none is near.
    """
    known = sorted(known)
    for name in names:
        if name not in known:
            name = str(name)
            has = f"; it has {', '.join(known) or 'none'}."
            raise ValueError(
                f"{title} has no {kind} {name!r}{nearest(name, known) or has}"
            )


def type_text(hint: Any) -> str:
    """A type as a person writes it, such as "tuple[int, ...]" or "float | None"."""
    args = typing.get_args(hint)
    if hint in WORDS:
        return WORDS[hint]
    if typing.get_origin(hint) in UNIONS:
        return " | ".join(map(type_text, args))
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(repr, args))
    name = hint.__name__ if isinstance(hint, type) else str(hint)
    return name.removeprefix("typing.").removeprefix("collections.abc.")


def _fit(value: Any, hint: Any, label: str, wires: Settings | None) -> Any:
    """The value in the annotated type; refuses what is not of it."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    options = args if origin in UNIONS else (hint,)
    if optax.Schedule in options and not (value is None and len(options) > 1):
        return _schedule(value, label, wires)
    if hint is optax.GradientTransformation:
        return _made(OPTIMIZERS, value, label, wires)
    if origin in UNIONS:
        several = [each for each in args if typing.get_origin(each) in SEQUENCES]
        if isinstance(value, list | tuple) and len(several) == 1:
            return _fit(value, several[0], label, wires)
        for option in args:
            try:
                return _fit(value, option, label, wires)
            except ValueError:
                if not isinstance(value, list | tuple) and _is_a(value, option):
                    raise
    elif origin in SEQUENCES and isinstance(value, list | tuple):
        alike = origin is Sequence or Ellipsis in args
        each = args[:1] * len(value) if alike else args
        if len(each) == len(value):
            pairs = enumerate(zip(value, each, strict=True))
            return tuple(_fit(v, h, f"{label}[{i}]", wires) for i, (v, h) in pairs)
        raise ValueError(
            f"{label} = {value!r} must be {type_text(hint)}, that is {len(each)} "
            f"values, not {len(value)}."
        )
    elif origin not in SEQUENCES and _is_a(value, hint):
        _refuse_extremes(value, hint, label)
        return value if wires is None or hint is not float else float(value)
    raise ValueError(
        f"{label} = {value!r} must be {type_text(hint)}, not {type(value).__name__}."
    )


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value is of a plain type; True and False are not numbers."""
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(value, bool):
        return hint in (bool, Any)
    if hint is float:
        return isinstance(value, int | float)
    return hint is Any or isinstance(value, typing.get_origin(hint) or hint)


def _refuse_extremes(value: Any, hint: Any, label: str) -> None:
    """Refuses numbers that no computation here can hold, NaN and infinity first."""
    if isinstance(value, float) or (hint is float and not isinstance(value, bool)):
        if not abs(value) <= LARGEST:
            raise ValueError(f"{label} = {value} must be a finite number (float32).")
    elif isinstance(value, int) and value not in INTEGERS:
        raise ValueError(f"{label} = {value} must be an integer of 32 bits.")
    elif isinstance(value, str) and "\0" in value:
        raise ValueError(f"{label} = {value!r} must not hold a zero byte.")


def _refuse_outside(
    interval: str, name: str, value: Any, wires: Settings | None
) -> None:
    """Refuses numbers outside of an interval, also those that a schedule takes."""
    if isinstance(value, Mapping):
        return  # A schedule that is not made yet.
    if callable(value) and wires and "total_steps" in wires:
        last = wires["total_steps"] - 1
        at = once(value)
        value = tuple(float(at(step)) for step in (0, last // 2, last))
    checks.within(interval, **{name: value})


def _schedule(value: Any, label: str, wires: Settings | None) -> Any:
    """A schedule: made where there are wires, else as it is written, defaults added."""
    if isinstance(value, Mapping):
        return _made(SCHEDULES, value, label, wires)
    if _is_a(value, float):
        _refuse_extremes(value, float, label)
        return value if wires is None else optax.constant_schedule(float(value))
    if callable(value):
        return value
    raise ValueError(
        f"{label} = {value!r} must be a number or dict(name=..., ...) with a name out "
        f"of {sorted(SCHEDULES)}."
    )


def _made(
    table: Mapping[str, Factory], value: Any, label: str, wires: Settings | None
) -> Any:
    """What a mapping names in a table: made where there are wires, else as written."""
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{label} = {value!r} must be dict(name=..., ...) with a name out of "
            f"{sorted(table)}."
        )
    try:
        maker, settings = pick(table, value, label)
        if wires is None:
            return {"name": value["name"], **resolve(maker, settings)}
        return bind(maker, wires, settings)
    except ValueError as error:
        if str(error).startswith(label):
            raise
        raise ValueError(f"{label}: {error}") from error


def _label(factory: Factory) -> str:
    return f"{unwrapped(factory)[0].__name__}()"
