"""Config pages: read, overridden from the command line, and resolved.

A page is a Python file with `get_config() -> ConfigDict` (or `get_config(arg)`, called
with what follows the colon in "page.py:arg"). Its sections are those of `SECTIONS`; the
signatures of what they name are their schemas (`jax_ssl.config.bind`).

Overrides ("--config.section.key=value") are parsed here and not by ml_collections'
`config_flags`, because that accepts only keys that the page already spells out, and
every setting that has a default should be reachable.
"""

import ast
import importlib.util
import logging
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from jax_ssl.config.bind import (
    accepted,
    nearest,
    pick,
    refuse_unknown,
    resolve,
    without_name,
)
from jax_ssl.config.sections import (
    PLAIN,
    PROTOCOLS,
    SECTIONS,
    TABLES,
    Checkup,
    Feeding,
)

log = logging.getLogger(__name__)


def load_page(reference: str) -> ConfigDict:
    """Reads a config page: "path/to/page.py" or "path/to/page.py:arg".

    Raises:
        ValueError: if there is no such file, or it has no `get_config`.
    """
    path, _, argument = reference.partition(":")
    file = pathlib.Path(path)
    if not file.is_file():
        raise ValueError(f"there is no config page {path!r}; see the folder configs/.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"config page {path!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))  # So that pages can share a file.
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, "get_config"):
        raise ValueError(f"config page {path!r} has no function get_config().")
    return ConfigDict(module.get_config(*([argument] if argument else [])))


def override(config: ConfigDict, assignments: Sequence[str]) -> ConfigDict:
    """Applies "section.key=value" strings to a copy of `config`.

    A value is read as a Python literal, else as a string; "{'name': ...}" replaces a
    whole section. Where a `name` changes, the old settings stay that the new thing
    also has.

    Raises:
        ValueError: if a string is no assignment, or leads into something that is not a
            section.
    """
    tree = config.to_dict()
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        keys = dotted.split(".")
        if not equals or not all(keys):
            raise ValueError(f"{assignment!r} is not of the form section.key=value.")
        check_sections(keys[:1])
        at = tree
        for key in keys[:-1]:
            at = at.setdefault(key, {})
            if not isinstance(at, dict):
                raise ValueError(
                    f"config.{dotted}: {key!r} is the value {at!r}, not a section."
                )
        value, old = _literal(text), at.get(keys[-1])
        at[keys[-1]] = text if isinstance(old, str) and value is not None else value
        section = keys[0]
        if keys[1:] == ["name"] and section in TABLES:
            tree[section] = _renamed(section, tree[section])
    return ConfigDict(tree)


def check_sections(names: Sequence[str]) -> None:
    """Refuses a section that no config has.

    Raises:
        ValueError: naming the nearest known one.
    """
    for name in names:
        if name not in SECTIONS:
            raise ValueError(
                f"config has no section {name!r}{nearest(name, SECTIONS)}; it has "
                f"{', '.join(SECTIONS)}."
            )


def resolved(config: ConfigDict) -> dict[str, Any]:
    """The config with every default of every section filled in; plain values.

    Raises:
        ValueError: for unknown sections and settings, and missing ones.
    """
    tree = config.to_dict()
    check_sections(list(tree))
    full = {}
    for section, table in TABLES.items():
        if section not in tree:
            raise ValueError(f"config has no section {section!r}.")
        settings = dict(tree[section])
        maker = pick(table, settings, f"config.{section}")
        extra = {}
        if section == "data":
            mine = [key for key in accepted(Feeding) if key in settings]
            known = (*accepted(maker), *accepted(Feeding))
            refuse_unknown("config.data", without_name(settings), known)
            extra = _resolve(section, Feeding, {key: settings.pop(key) for key in mine})
        found = _resolve(section, maker, without_name(settings))
        full[section] = {"name": settings["name"], **found, **extra}
    for section, maker in PLAIN.items():
        given = tree.get(section, {})
        if section == "run":  # On unless it is None.
            given = {**given, "doctor": _checkup(given.get("doctor", {}))}
        values = _resolve(section, maker, given)
        full[section] = {k: v for k, v in values.items() if k != "devices"}
    for name, maker in PROTOCOLS.items():
        if full["evals"][name] is not None:
            refuse_unknown(f"config.evals.{name}", full["evals"][name], accepted(maker))
    return _plain(full)


def _resolve(
    title: str, maker: Callable[..., Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return resolve(maker, settings)
    except ValueError as error:
        raise ValueError(f"config.{title}: {error}") from error


def _checkup(settings: Any) -> dict[str, Any] | None:
    if settings is None:
        return None
    if not isinstance(settings, Mapping):
        raise ValueError(
            f"config.run.doctor = {settings!r} must be a dict of settings, such as "
            "dict(stop=True), or None."
        )
    return _resolve("run.doctor", Checkup, settings)


def _renamed(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    maker = pick(TABLES[section], settings, f"config.{section}")
    known = ("name", *accepted(maker))
    if section == "data":
        known = (*known, *accepted(Feeding))
    dropped = sorted(set(settings) - set(known))
    if dropped:
        log.warning(
            "config.%s is now %r; it has no settings %s, so the page's are dropped",
            section,
            settings["name"],
            ", ".join(dropped),
        )
    return {key: value for key, value in settings.items() if key in known}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "null": None}.get(text, text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
