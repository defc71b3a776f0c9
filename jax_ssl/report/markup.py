"""Small pieces of HTML. Everything that comes from outside goes through `text`."""

import base64
import html
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Picture(NamedTuple):
    """A figure's files: its name without extension, and its PNG for each theme."""

    name: str
    light: bytes
    dark: bytes | None  # None: one transparent picture does for both.
    alt: str


def text(value: Any) -> str:
    """Any value as text that is safe in HTML, within quotes too."""
    return html.escape(str(value), quote=True)


def absent(sentence: str) -> str:
    """The paragraph that stands where a part of the page is missing."""
    return f'<p class="absent">{text(sentence)}</p>'


def figure(picture: Picture, caption: str = "", kind: str = "") -> str:
    """A figure with its pictures inside the page; a grid scrolls on a narrow screen."""
    # A PNG's header holds its size, in big-endian words at byte 16.
    width, height = (n // 2 for n in struct.unpack(">II", picture.light[16:24]))
    source = ""
    if picture.dark is not None:
        source = (
            '<source media="(prefers-color-scheme: dark)" '
            f'srcset="{_embedded(picture.dark)}">'
        )
    image = (
        f'<img src="{_embedded(picture.light)}" width="{width}" height="{height}" '
        f'alt="{text(picture.alt)}" style="--natural: {width}px">'
    )
    said = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return (
        f'<div class="panel"><figure class="{kind}"><picture>{source}{image}</picture>'
        f"</figure>{said}</div>"
    )


def cards(entries: Iterable[tuple[str, str, str]]) -> str:
    """Key figures: (name, value, what to add in small print)."""
    return (
        '<dl class="cards">'
        + "".join(
            f'<div class="card"><dt>{text(name)}</dt>'
            f'<dd class="value">{text(value)}</dd><dd class="aside">'
            f"{text(aside)}</dd></div>"
            for name, value, aside in entries
        )
        + "</dl>"
    )


def fold(title: str, aside: str, content: str) -> str:
    """A part that opens on a click."""
    return (
        f'<details><summary>{text(title)} <span class="aside">{text(aside)}</span>'
        f"</summary>{content}</details>"
    )


def settings_table(settings: Mapping[str, Any]) -> str:
    """Nested settings as one table with dotted names, as flags spell them."""
    rows = "".join(
        f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>"
        for name, value in flatten(settings)
    )
    return f'<table class="settings"><tbody>{rows}</tbody></table>'


def flatten(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """(dotted name, value as text) of every leaf, in order; lists are leaves."""
    leaves: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            leaves += flatten(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", plain(value)))
    return leaves


def plain(value: Any) -> str:
    """A setting's value: strings as they are, everything else as in JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def bullets(sentences: Sequence[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{text(s)}</li>' for s in sentences)}</ul>"


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
