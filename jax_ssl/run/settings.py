"""`jax-ssl settings`: what a config can hold, read from the signatures themselves."""

import argparse
import textwrap
from collections.abc import Mapping
from typing import Any

from jax_ssl.config import load_page, override, resolved
from jax_ssl.config.bind import NEEDED
from jax_ssl.config.elsewhere import is_elsewhere, nearest
from jax_ssl.config.pages import plain
from jax_ssl.config.settings import catalogue, describe, headline, maker_of, used
from jax_ssl.core.own_pages import own_pages

WIDTH = 88


def settings(options: argparse.Namespace) -> int:
    """Prints the settings of a page, of one factory or section, or what there is.

    Raises:
        ValueError: if there is no such page or path.
    """
    what, makers = options.what, catalogue()
    if what and (".py" in what or what.partition(":")[0] in own_pages()):
        page = resolved(override(load_page(what), options.overrides))
        print("\n\n".join(_section(path, values) for path, values in used(page)))
        print("\n* not the default")
        return 0
    if what in makers or (what and is_elsewhere(what.partition(".")[2])):
        print(_section(what, {}))
        makers.setdefault(what, maker_of(what))
    listed = [path for path in makers if not what or path.startswith(f"{what}.")]
    for path in listed:
        print(*_wrapped(f"{path:28s} ", headline(makers[path])), sep="\n")
    if what not in makers and not listed:
        near = nearest(what, {*makers, *(path.split(".")[0] for path in makers)})
        raise ValueError(f"nothing in a config is called {what!r}{near or '.'}")
    return 0


def _section(path: str, values: Mapping[str, Any]) -> str:
    """A factory's settings, those marked that differ in `values` from the default."""
    maker = maker_of(path)
    lines = [*_wrapped(f"{path}: ", headline(maker))]
    for setting in describe(maker):
        value = values.get(setting.name, setting.default)
        mark = " " if plain(value) == plain(setting.default) else "*"
        shown = "" if value is NEEDED else f" = {value!r}"
        lines.append(f"{mark} {setting.name}: {setting.type}{shown}")
        lines += _wrapped(" " * 6, setting.text)
    return "\n".join(lines)


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(start + text, WIDTH, subsequent_indent=" " * len(start))
