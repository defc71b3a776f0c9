"""Config pages: read, overridden from the command line, and resolved.

A page is a Python file with `get_config() -> ConfigDict` (or `get_config(arg)`, called
with what follows the colon in "page.py:arg"). Its sections are those of `SECTIONS`; the
signatures of what they name are their schemas (`jax_ssl.config.bind`).

Overrides ("--config.section.key=value") are parsed here and not by ml_collections'
`config_flags`, because that accepts only keys that the page already spells out, and
every setting that has a default should be reachable.
"""

import ast
import inspect
import logging
import pathlib
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jax_ssl.config.bind import (
    Factory,
    Settings,
    accepted,
    pick,
    reason,
    refuse_unknown,
    resolve,
    split,
)
from jax_ssl.config.elsewhere import nearest
from jax_ssl.config.sections import PLAIN, SECTIONS, TABLES, Evals, Online
from jax_ssl.core.own_pages import own_pages
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.evaluate.knn import knn

BY_DEFAULT = ("classification",)  # Protocols that need not be asked for.

log = logging.getLogger(__name__)


def load_page(reference: str) -> ConfigDict:
    """Reads a config page: "path/to/page.py", or "simclr_digits" of the library's own.

    What follows a colon, as in "path/to/page.py:arg", is its argument. A page is a
    program, and reading it runs it.

    Raises:
        ValueError: if there is no such file, it has no `get_config`, or it fails.
    """
    path, _, argument = reference.partition(":")
    if argument.startswith("//"):
        raise ValueError(
            f"--config={reference} is an address, not a file; copy the page here."
        )
    file = pathlib.Path(path).expanduser()
    if file.suffix == "" and not file.is_file() and path in (own := own_pages()):
        file = own[path]
    if not file.is_file():
        near = nearest(file.stem, own_pages())
        raise ValueError(
            f"there is no config page {path!r}{near or '.'} A page of the library is "
            "named alone, as --config=simclr_digits (jax-ssl configs lists them); "
            "others by their path."
        )
    if file.suffix != ".py":
        raise ValueError(f"config page {path!r} is not a Python file.")
    sys.path.insert(0, str(file.parent.resolve()))  # So that pages can share a file.
    try:
        page = runpy.run_path(str(file.absolute()))
        if "get_config" not in page:
            raise ValueError(f"config page {path!r} has no function get_config().")
        get_config = page["get_config"]
        if argument and not inspect.signature(get_config).parameters:
            raise ValueError(
                f"config page {path!r} takes no argument; leave out ':{argument}'."
            )
        return ConfigDict(get_config(*([argument] if argument else [])))
    except OSError:
        raise
    except ModuleNotFoundError as error:
        raise ValueError(
            f"config page {path!r} imports {error.name!r}, which is neither beside it "
            f"nor installed; copy {error.name}.py from the page's old folder too."
        ) from error
    except Exception as error:
        lines = traceback.extract_tb(error.__traceback__)
        at = [line.lineno for line in lines if line.filename == str(file.absolute())]
        where = f" in line {at[-1]}" if at else ""
        said = f"{type(error).__name__}: {reason(error)}"
        if argument and isinstance(error, KeyError) and error.args == (argument,):
            raise ValueError(
                f"config page {path!r} does not take the argument {argument!r} "
                f"({said}{where})."
            ) from error
        given = f" with the argument {argument!r}" if argument else ""
        raise ValueError(
            f"config page {path!r}{given} fails{where}: {said}."
        ) from error
    finally:
        sys.path.pop(0)


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
        refuse_unknown("config", keys[:1], SECTIONS, "section")
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
    try:
        return ConfigDict(tree)
    except (TypeError, KeyError, ValueError) as error:
        said = " ".join(f"--config.{each}" for each in assignments)
        raise ValueError(f"{said}: {reason(error)}; keys are names.") from error


def resolved(config: ConfigDict) -> dict[str, Any]:
    """The config with every default of every section filled in; plain values.

    Raises:
        ValueError: for unknown sections and settings, missing ones, and values that are
            not of their type.
    """
    tree = {key: plain(inner, key) for key, inner in config.to_dict().items()}
    refuse_unknown("config", tree, SECTIONS, "section")
    full: dict[str, Any] = {}
    for section, table in TABLES.items():
        if section not in tree:
            raise ValueError(f"config has no section {section!r}.")
        given = _mapping(section, tree[section])
        maker, settings = pick(table, given, f"config.{section}")
        full[section] = {"name": given["name"], **_resolve(section, maker, settings)}
    evals, protocols = split(Evals, _mapping("evals", tree.get("evals", {})))
    refuse_unknown("config.evals", protocols, (*accepted(Evals), *PROTOCOLS))
    tree["evals"] = evals
    for section, maker in PLAIN.items():
        optional = section == "doctor"
        full[section] = _resolve(section, maker, tree.get(section, {}), optional)
    for name, maker in PROTOCOLS.items():
        asked = protocols.get(name, {} if name in BY_DEFAULT else None)
        full["evals"][name] = _resolve(f"evals.{name}", maker, asked, optional=True)
    full["evals"]["online"] = _online(full["evals"]["online"])
    return plain(full)


def completed(written: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config.json with today's defaults for settings that came later.

    A new setting's default is what was done before there was one. What cannot be
    resolved today, such as a setting that is no more, stays as it is written.
    """
    try:
        return resolved(ConfigDict(dict(written)))
    except (ValueError, TypeError, KeyError):
        return dict(written)


def _online(given: Any) -> dict[str, Any] | None:
    """Settings of `Online` and of the protocol that it names, side by side."""
    if given is None:
        return None
    when, rest = split(Online, _mapping("evals.online", given))
    named = when.get("protocol")
    maker = PROTOCOLS.get(named, knn) if isinstance(named, str) else knn
    refuse_unknown("config.evals.online", rest, (*accepted(Online), *accepted(maker)))
    found = _resolve("evals.online", Online, when)
    return {**found, **_resolve("evals.online", maker, rest)}


def _mapping(title: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(
            f"config.{title} = {value!r} must be a section of settings, dict(...)."
        )
    return dict(value)


def _resolve(title: str, maker: Factory, given: Any, optional: bool = False) -> Any:
    """All settings of a section; None for one that is optional and switched off."""
    if optional and given is None:
        return None
    settings = _mapping(title, given)
    known = accepted(maker)
    places = {section: section for section in SECTIONS}
    for home, one in reversed(PLAIN.items()):  # Those of `feed` come last, and count.
        places |= {key: f"{home}.{key}" for key in accepted(one)}
    for name in settings:
        if name not in known and name in places:
            raise ValueError(
                f"config.{title} has no setting {name!r}; there is config."
                f"{places[name]}."
            )
    refuse_unknown(f"config.{title}", settings, known)
    try:
        return resolve(maker, settings)
    except ValueError as error:
        raise ValueError(f"config.{title}: {error}") from error


def _renamed(section: str, given: Settings) -> dict[str, Any]:
    maker, settings = pick(TABLES[section], given, f"config.{section}")
    kept, dropped = split(maker, settings)
    if dropped:
        log.warning(
            "config.%s is now %r; it has no settings %s, so the page's are dropped",
            section,
            given["name"],
            ", ".join(sorted(dropped)),
        )
    return {"name": given["name"], **kept}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return {"true": True, "false": False, "null": None}.get(text, text)


def plain(value: Any, title: str = "") -> Any:
    """Mappings as dictionaries, tuples and arrays as lists, as JSON gives them back.

    Raises:
        ValueError: for what has no form in JSON, if a title is given to name it by.
    """
    if isinstance(value, Mapping):
        return {
            key: plain(inner, title and f"{title}.{key}")
            for key, inner in value.items()
        }
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(inner, title) for inner in value]
    if title and not isinstance(value, bool | int | float | str | None):
        raise ValueError(
            f"config.{title} = {value!r} must be a number, a text, a list or dict(...) "
            f"of these, or None, not {type(value).__name__}."
        )
    return value
