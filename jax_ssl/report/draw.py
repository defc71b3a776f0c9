"""Figures as PNG: charts and maps by matplotlib, sheets of tiles by Pillow.

No pyplot, and no state that outlives a call. The margins of charts are counted in
letters and not searched for, which would take most of the time. A figure is as wide as
a phone shows it, so that its letters are as large there as those of the page; wider
screens enlarge it.
"""

import contextlib
import io
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont, ImageOps

from jax_ssl.report import series
from jax_ssl.report.blocks import Column, Curves, Map, Paths
from jax_ssl.report.pictures import class_name
from jax_ssl.report.quantities import quantity
from jax_ssl.report.theme import CURVES, LIGHT, Theme

STYLE = pathlib.Path(__file__).with_name("figures.mplstyle")
LETTER, ROW = 0.076, 0.19  # inches: a letter's width, and a line of words
PLOT = 1.95  # inches: height of the axes of a chart
GAP, FRAME, LINE, LETTER_PIXELS = 10, 5, 28, 12  # of a sheet


def chart(found: Curves, theme: Theme) -> bytes:
    """Curves over steps or epochs; a legend says the last value of each."""
    scale = 100 if found.unit == "%" else 1
    ends: list[tuple[float, Any, str]] = []  # Last value, line, and its words.
    with _style(theme):
        fig = Figure()
        ax = fig.add_subplot()
        ax.set_prop_cycle(color=[theme[name] for name in (*CURVES, "ink")])
        for name, curve in found.curves.items():
            x, mean = series.trend(curve)
            mark = "o" if len(x) == 1 or (name and len(x) <= 40) else ""
            (line,) = ax.plot(x, scale * mean, marker=mark)
            if series.radius(len(x)):
                x, y = series.extremes(curve)
                ax.plot(x, scale * y, color=line.get_color(), alpha=0.4, linewidth=0.8)
            last = next(iter(mean[np.isfinite(mean)][::-1]), np.nan)
            ends.append((last, line, f"{name} {quantity(last, found.unit)}".strip()))
        for name, level in (found.levels or {}).items():
            line = ax.axhline(scale * level, color=theme["muted"], linestyle="--")
            ends.append((level, line, f"{name} {quantity(level, found.unit)}".strip()))
        ax.set_xlabel(found.over)
        for axis, whole in ((ax.xaxis, True), (ax.yaxis, False)):
            axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5), integer=whole))
            axis.set_major_formatter("{x:,.6g}")
        ax.autoscale_view()
        # The legend is in the order of the ends of what it names.
        ends.sort(key=lambda end: -end[0])
        _, lines, words = zip(*ends, strict=True)
        title = f"{found.title}, {found.unit}" if found.unit else found.title
        _place(ax, title, lines, words, PLOT)
        return _png(fig)


def scatter(found: Map, theme: Theme) -> bytes:
    """Dots of a plane; beyond ten classes the ten largest have colours and names."""
    shown = [] if found.labels is None else colored_classes(found.labels)
    plain = theme["accent"] if found.labels is None else f"{theme['muted']}40"
    colors = np.full(len(found.points), plain, object)
    names: list[Text] = []
    with _style(theme):
        fig = Figure(figsize=(5.0, 4.2))
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        ax.set_aspect("equal", adjustable="datalim")
        halo = [withStroke(linewidth=3.5, foreground=theme["surface"])]
        names = []
        for label, color in zip(shown, mpl.color_sequences["tab10"], strict=False):
            mine = found.labels == label
            colors[mine] = f"{mpl.colors.to_hex(color)}cc"
            name = textwrap.fill(class_name(label, found.label_names), 18)
            look: dict[str, Any] = {"weight": "bold", "size": 11, "ha": "center"}
            place = densest(found.points[mine])
            names.append(ax.text(*place, name, path_effects=halo, **look))
        # One call, in row order, so that no class lies on top of the others.
        size = float(np.clip(7_000 / len(found.points), 5, 30))
        x, y = found.points.T
        ax.scatter(x, y, c=[*colors], s=size, linewidths=0)
        ax.apply_aspect()  # Only now is it known where a name is on the paper.
        _keep_inside(names)
        boxes = [drawn.get_window_extent() for drawn in names]
        lower = sunk(np.array([box.extents for box in boxes]).reshape(-1, 4))
        for drawn, down in zip(names, lower, strict=True):
            x, y = ax.transData.transform(drawn.get_position())
            x, y = ax.transData.inverted().transform((x, y - down))
            drawn.set_position((x, y))
        _keep_inside(names)
        return _png(fig)


def paths(found: Paths, theme: Theme) -> bytes:
    """Lines in a plane, the truth in ink and a little wider; a legend names them."""
    colors = [theme["ink"], *(theme[name] for name in CURVES), theme["muted"]]
    with _style(theme):
        fig = Figure()
        ax = fig.add_subplot()
        ax.set_aspect("equal", adjustable="datalim")
        ax.grid(axis="x")
        lines = []
        for i, (name, path) in enumerate(found.paths.items()):
            color, style = colors[min(i, len(colors) - 1)], "-" if i < 2 else "--"
            wide = 2.4 if i == 0 else 1.4
            lines += ax.plot(*path.T, style, color=color, label=name, linewidth=wide)
            ax.plot(*path[:1].T, "o", color=color, markersize=4)
        _place(ax, f"{found.title}, {found.unit}", lines, [*found.paths], 1.5 * PLOT)
        return _png(fig)


def sheet(columns: Sequence[Column], tiles: Sequence[Sequence[Image.Image]]) -> bytes:
    """A grid as one picture on white, for use elsewhere than on the page.

    Args:
        columns: of the words and frames.
        tiles: [rows][columns] pictures.
    """
    every = [drawn.size for row in tiles for drawn in row]
    width, height = (max(sizes) + 2 * GAP for sizes in zip(*every, strict=True))

    def wrapped(words: str) -> str:
        lines = words.split("\n")
        # textwrap breaks at ASCII's white space alone, not at no-break spaces.
        return "\n".join(textwrap.fill(s, width // LETTER_PIXELS) for s in lines)

    below = [wrapped(column.at(r)[0]) for column in columns for r in range(len(tiles))]
    step = height + LINE * (max(w.count("\n") for w in below) + 1)
    # Heads stand in one line, below the groups, which have as many lines as they need.
    groups, heads = (
        [wrapped(words) for words in said]
        for said in zip(*((c.group, c.head) for c in columns), strict=True)
    )
    under = LINE * (max(w.count("\n") for w in groups) + 1)
    head = under + LINE * (max(w.count("\n") for w in heads) + 1)
    paper = Image.new("RGB", (len(columns) * width, head + len(tiles) * step), "white")
    pen = ImageDraw.Draw(paper)
    font = ImageFont.truetype(findfont("DejaVu Sans"), 20)

    def write(column: int, top: int, words: str) -> None:
        place = (column + 0.5) * width, top
        pen.text(place, wrapped(words), "black", font, anchor="ma", align="center")

    for c, column in enumerate(columns):
        write(c, 0, groups[c])
        write(c, under, heads[c])
        for r, row in enumerate(tiles):
            words, tone = column.at(r)
            framed = ImageOps.expand(row[c], FRAME, LIGHT.get(tone, "white"))
            left, top = c * width, head + r * step
            over, above = width - framed.width, height - framed.height
            paper.paste(framed, (left + over // 2, top + above // 2))
            write(c, top + height, words)
    return encode(paper)


def encode(picture: Image.Image) -> bytes:
    """A picture as PNG, without a date or a program's name in it."""
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def densest(points: np.ndarray) -> tuple[float, float]:
    """The point of [n, 2] in the middle of the smallest disc with a third of them.

    Where a class lies in several groups, a mean or a median would fall between them; a
    fixed small number of neighbours would find its smallest clump.
    """
    distances = ((points[:, None] - points) ** 2).sum(axis=-1)  # [n, n]
    radii = np.sort(distances, axis=1)[:, len(points) // 3]
    x, y = points[radii.argmin()]
    return float(x), float(y)


def sunk(boxes: np.ndarray) -> np.ndarray:
    """How far each box has to go down, so that none covers a part of another.

    The highest stays; each further one goes below those that are in its way.

    Args:
        boxes: [n, 4] left, bottom, right and top; all count as high as the highest.

    Returns:
        [n] float64, at least 0.
    """
    down = np.zeros(len(boxes))
    tall = (boxes[:, 3] - boxes[:, 1]).max(initial=0)
    placed: list[tuple[float, float, float]] = []  # left, right and top
    for i in np.argsort(-boxes[:, 3], kind="stable"):
        left, _, right, top = boxes[i]
        for others_left, others_right, height in sorted(placed, key=lambda b: -b[2]):
            aside = right <= others_left or others_right <= left
            if not aside and abs(height - top) < tall:
                top = height - tall
        down[i] = boxes[i, 3] - top
        placed.append((left, right, top))
    return down


def colored_classes(labels: np.ndarray) -> list[int]:
    """The ten classes with most points (ties: the smaller number), ascending."""
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    return sorted(classes[np.argsort(-counts, kind="stable")][:10].tolist())


def _place(
    ax: Any, title: str, lines: Sequence[Any], words: Sequence[str], plot: float
) -> None:
    """Puts a title and a legend above axes of `plot` inches.

    The figure becomes as high as all of that needs, and no word is cut.
    """
    fig, room = ax.figure, int(ax.figure.get_figwidth() / LETTER) - 4
    title = textwrap.fill(title, int(0.88 * room))  # Its letters are bold.
    columns = 2 if len(words) > 1 and max(map(len, words)) < room // 2 - 2 else 1
    words = [textwrap.fill(word, room) for word in words]
    rows = -(-sum(word.count("\n") + 1 for word in words) // columns)
    head = ROW * (title.count("\n") + 1 + rows) + 0.22
    width, height = fig.get_figwidth(), 0.48 + plot + head
    fig.set_figheight(height)
    ticks = ax.yaxis.get_major_formatter().format_ticks(ax.yaxis.get_majorticklocs())
    left, right = (LETTER * max(5, *map(len, ticks)) + 0.14) / width, 1 - 0.22 / width
    top = 1 - head / height
    fig.subplots_adjust(left=left, right=right, bottom=0.48 / height, top=top)
    edge = 0.08 / width
    fig.text(edge, 1 - 0.05 / height, title, weight="bold", va="top")
    ax.legend(
        lines,
        words,
        loc="upper left",
        bbox_to_anchor=(edge, top + (ROW * rows + 0.12) / height),
        bbox_transform=fig.transFigure,
        ncols=columns,
    )


def _keep_inside(texts: Sequence[Any]) -> None:
    """Moves words that the edge of their figure would cut."""
    for text in texts:
        ax = text.axes
        ax.apply_aspect()
        box = text.get_window_extent(FigureCanvasAgg(ax.figure).get_renderer())
        moved = np.maximum(0, 4 - box.min)
        moved -= np.maximum(0, box.max + 4 - ax.figure.bbox.size)
        place = ax.transData.transform(text.get_position()) + moved
        text.set_position(ax.transData.inverted().transform(place))


def _style(theme: Theme) -> contextlib.AbstractContextManager:
    """Settings of matplotlib for figures on the page's surface."""
    uses = {
        "surface": ("axes.facecolor", "figure.facecolor"),
        "rule": ("axes.edgecolor", "grid.color"),
        "muted": ("axes.labelcolor", "xtick.color", "ytick.color"),
        "ink": ("text.color",),
    }
    colors = {key: theme[name] for name, keys in uses.items() for key in keys}
    return mpl.style.context([STYLE, colors])


def _png(fig: Figure) -> bytes:
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return encode(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
