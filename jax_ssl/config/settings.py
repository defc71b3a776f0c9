"""What a section can hold: its settings with their types, defaults and descriptions.

Everything is read from the factories: types and defaults from their signatures, texts
from the "Args" or "Attributes" of their docstrings.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jax_ssl.config.bind import Factory, schema, type_text, unwrapped
from jax_ssl.config.elsewhere import elsewhere, is_elsewhere
from jax_ssl.config.sections import PLAIN, TABLES, Online
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.optim import SCHEDULES

ENTRY = re.compile(r"^(\w+): ", re.MULTILINE)


class Setting(NamedTuple):
    """One setting of a factory.

    Attributes:
        name: as in a config page.
        type: in words, such as "float | None".
        default: its value unless it is set; `bind.NEEDED` if it must be.
        text: what the docstring says of it, in one line; empty if nothing.
    """

    name: str
    type: str
    default: Any
    text: str


def describe(factory: Factory) -> Iterator[Setting]:
    """The settings of a function, a dataclass, a module, or a partial of one."""
    texts = _texts(factory)
    for name, parameter in schema(factory).settings.items():
        kind = type_text(parameter.annotation)
        yield Setting(name, kind, parameter.default, texts.get(name, ""))


def headline(factory: Factory) -> str:
    """First line of the docstring; of a partial, also the defaults that it changes."""
    function, _, keywords = unwrapped(factory)
    changed = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
    first = (inspect.getdoc(function) or "").partition("\n")[0]
    return f"{first} With {changed}." if changed else first


def catalogue() -> dict[str, Factory]:
    """All that a config can name and all sections without a name, by dotted path.

    A path is "section.name", as "method.simclr"; a plain section or a part of one, as
    "run" and "evals.knn"; or "schedule.name".
    """
    found: dict[str, Factory] = {}
    for section, table in {**TABLES, "schedule": SCHEDULES}.items():
        found |= {f"{section}.{name}": maker for name, maker in table.items()}
    found |= {**PLAIN, "evals.online": Online}
    return found | {f"evals.{name}": maker for name, maker in PROTOCOLS.items()}


def maker_of(path: str) -> Factory:
    """What a path stands for, in the catalogue or elsewhere ("method.my.nnclr:nnclr").

    Raises:
        ValueError: if there is no such thing.
    """
    section, _, name = path.partition(".")
    if is_elsewhere(name):
        return elsewhere(name, f"config.{section}")
    return catalogue()[path]


def used(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The paths that a resolved config uses, with its values there; see `maker_of`."""
    for section in TABLES:
        if is_elsewhere(name := config[section]["name"]):
            yield f"{section}.{name}", config[section]
    for path in catalogue():
        section, _, rest = path.partition(".")
        values = config.get(section, {})
        if rest and section in TABLES:
            values = values if values["name"] == rest else None
        elif rest:
            values = values.get(rest)
        if isinstance(values, Mapping):
            yield path, values


def _texts(factory: Factory) -> dict[str, str]:
    """What the docstring says of each argument or attribute, in one line each."""
    found = re.search(
        r"^(?:Args|Attributes):\n((?:[ ]{4}.*\n?|\n)+)",
        inspect.getdoc(unwrapped(factory)[0]) or "",
        re.MULTILINE,
    )
    if found is None:
        return {}
    parts = ENTRY.split(inspect.cleandoc(found[1]))[1:]
    texts = (" ".join(text.split()) for text in parts[1::2])
    return dict(zip(parts[::2], texts, strict=True))
