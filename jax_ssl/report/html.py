"""Blocks as one HTML page that needs no other file, and the PNGs in it.

`page.html` is the template; it escapes everything that it is given.
"""

import base64
import functools
import itertools
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup, escape
from PIL import Image

from jax_ssl.report import draw
from jax_ssl.report.blocks import Curves, Map, Paths, Pictures, Section
from jax_ssl.report.theme import DARK, LIGHT
from jax_ssl.report.tiles import tile

MAX_ROWS, MAX_COLUMNS = 10, 12  # of a grid of pictures
# Pixels of the page that a grid has beside each other, and those around a tile of them;
# the size to which tiles are reduced at most, where a grid then needs no scrolling.
ACROSS, AROUND, SMALLEST = 1000, 12, 0.7

Files = dict[str, bytes]  # PNGs by name, which rendering adds to


def page(title: str, subtitle: str, sections: Sequence[Section], files: Files) -> str:
    """The whole document; `files` receives its figures and the sheets of its grids.

    Raises:
        ValueError: if two figures have one name.
    """
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    figure, grid = (functools.partial(f, files=files) for f in (_figure, _grid))
    environment.filters.update(prose=prose, figure=figure, grid=grid)
    told = {"title": title, "subtitle": subtitle, "light": LIGHT, "dark": DARK}
    return environment.get_template("page.html").render(told, sections=sections)


def prose(sentence: str) -> Markup:
    """A sentence as safe HTML, with a link for each arXiv:1234.56789 in it."""
    link = r'<a href="https://arxiv.org/abs/\1" rel="noreferrer">arXiv:\1</a>'
    return Markup(re.sub(r"arXiv:(\d{4}\.\d{4,5})", link, str(escape(sentence))))


DRAWN: dict[type, Any] = {Curves: draw.chart, Map: draw.scatter, Paths: draw.paths}


def _figure(block: Curves | Map | Paths, files: Files) -> dict[str, str]:
    """The addresses of the pictures for the light and for the dark page."""
    drawn = DRAWN[type(block)]
    return {
        name: _address(_kept(files, f"{block.name}{suffix}.png", drawn(block, theme)))
        for name, suffix, theme in (("light", "", LIGHT), ("dark", "-dark", DARK))
    }


def _grid(block: Pictures, files: Files) -> dict[str, Any]:
    """What is shown of a grid: its columns, rows of tiles, and what is left out."""
    columns = block.columns[:MAX_COLUMNS]
    count = len(columns[0].values) if columns else 0
    rows = range(min(count, MAX_ROWS))
    tiles = [[Image.fromarray(tile(column, r)) for column in columns] for r in rows]
    if tiles:
        _kept(files, f"{block.name}.png", draw.sheet(columns, tiles))
    by_column = zip(*tiles, strict=True)
    size = 0.5 * fitting([max(d.width for d in own) / 2 for own in by_column])
    shown = [
        [
            (
                *(column, *column.at(r), _address(draw.encode(drawn))),
                *(round(size * side) for side in drawn.size),
            )
            for column, drawn in zip(columns, tiles[r], strict=True)
        ]
        for r in rows
    ]
    runs = itertools.groupby(column.group for column in columns)
    groups = [(group, len([*run])) for group, run in runs]
    return {"columns": columns, "groups": groups, "rows": shown, "count": count}


def fitting(widths: Sequence[float]) -> float:
    """The size of columns so wide, of which 1 is theirs, that spares scrolling.

    It is 1 where they fit as they are, and where they could not be small enough.
    """
    free = ACROSS - AROUND * len(widths)
    size = min(1.0, free / max(sum(widths), 1))
    return size if size >= SMALLEST else 1.0


def _kept(files: Files, name: str, png: bytes) -> bytes:
    name = re.sub(r"[^\w.-]+", "_", name)  # Names of metrics are no names of files.
    if files.setdefault(name, png) is not png:
        raise ValueError(f"two figures are called {name}; give them different names.")
    return png


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
