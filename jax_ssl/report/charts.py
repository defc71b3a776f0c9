"""Charts in matplotlib's object form: no pyplot, no state that outlives a call."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jax_ssl.report.inputs import class_name
from jax_ssl.report.quantities import number
from jax_ssl.report.series import Curve, radius, smooth
from jax_ssl.report.theme import Theme

DPI = 200  # Twice the page's 100 pixels an inch, for screens of double density.
WIDE = (5.2, 2.9)  # inches
STEPS = (1, 2, 2.5, 5, 10)  # between ticks, times a power of ten


def line_chart(
    theme: Theme, title: str, found: Curve, *, smoothed: bool, share: bool = False
) -> bytes:
    """One quantity over steps, PNG; its smoothed course over the records themselves.

    Args:
        theme: colours.
        title: the quantity and its unit.
        found: the curve.
        smoothed: draw the records faintly and their running mean over them.
        share: the values are fractions, shown as per cent from zero.
    """
    fig, ax = _axes(theme, WIDE, title, "step")
    y = 100 * found.y if share else found.y
    line = y
    if smoothed and radius(len(y)):
        ax.plot(found.x, y, color=theme.faint, linewidth=0.8)
        line = smooth(y, radius(len(y)))
    alone = len(found.x) == 1
    marker = "o" if alone else ""
    ax.plot(found.x, line, color=theme.accent, linewidth=1.7, marker=marker)
    if share:
        ax.set_ylim(0, max(1.0, 1.1 * float(np.nanmax(y, initial=0.0))))
    finite = np.flatnonzero(np.isfinite(line))
    if len(finite):
        last = float(line[finite[-1]])
        end = number(last) + (" %" if share else "")
        _name(ax, [(found.x[finite[-1]], last, end, theme.accent)])
    return png(fig)


def accuracy_chart(
    theme: Theme, curves: Mapping[str, Curve], over: str, controls: Mapping[str, float]
) -> bytes:
    """Accuracies during training, PNG, with the controls' as level lines.

    Args:
        theme: colours.
        curves: fractions by protocol's name.
        over: "epoch" or "step".
        controls: fractions by the control's name.
    """
    percent = {name: Curve(found.x, 100 * found.y) for name, found in curves.items()}
    levels = {name: 100 * accuracy for name, accuracy in controls.items()}
    title = "Accuracy during training, %"
    return curves_chart(theme, title, percent, over, levels, "{:.1f}".format)


def curves_chart(
    theme: Theme,
    title: str,
    curves: Mapping[str, Curve],
    over: str,
    levels: Mapping[str, float],
    spoken: Callable[[float], str] = number,
) -> bytes:
    """Several quantities of one kind, PNG, each named at its end with its last value.

    Args:
        theme: colours.
        title: of the chart.
        curves: by name, at least one.
        over: "epoch" or "step".
        levels: values by name, drawn as level lines.
        spoken: a value in words.
    """
    fig, ax = _axes(theme, WIDE, title, over)
    colors = (theme.accent, *theme.series)
    names = []
    for i, (name, found) in enumerate(curves.items()):
        color = colors[i % len(colors)]
        few = len(found.x) <= 40
        ax.plot(
            found.x,
            found.y,
            color=color,
            linewidth=1.7,
            marker="o" if few else "",
            markersize=3,
        )
        last = float(found.y[-1])
        if np.isfinite(last):
            names.append((found.x[-1], last, f"{name} {spoken(last)}", color))
    end = max(found.x[-1] for found in curves.values())
    for name, level in levels.items():
        ax.axhline(level, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
        names.append((end, level, f"{name} {spoken(level)}", theme.muted))
    ax.margins(x=0.02, y=0.08)
    _name(ax, names)
    return png(fig)


def map_chart(
    theme: Theme,
    points: np.ndarray,
    labels: np.ndarray | None,
    names: Sequence[str] | None,
) -> bytes:
    """The plane of t-SNE, PNG: one dot a row, coloured and named by class.

    Beyond ten classes the ten with most points have colours, and the others are grey.

    Args:
        theme: colours.
        points: [M, 2].
        labels: [M] int, negative where unlabelled; or None.
        names: names by class.
    """
    fig = Figure(
        figsize=(7.6, 6.0), dpi=DPI, facecolor=theme.surface, layout="constrained"
    )
    FigureCanvasAgg(fig)
    ax = fig.add_subplot()
    ax.set_axis_off()
    ax.set_aspect("equal", adjustable="datalim")
    size = float(np.clip(14_000 / max(len(points), 1), 7, 40))
    x, y = points.T
    dots: dict[str, Any] = {"s": size, "linewidths": 0}
    if labels is None:
        ax.scatter(x, y, c=theme.accent, alpha=0.8, **dots)
        return png(fig)
    shown = colored_classes(labels)
    rest = ~np.isin(labels, shown)
    ax.scatter(x[rest], y[rest], c=theme.muted, alpha=0.3, **dots)
    # One call, in row order, so that no class lies on top of the others.
    palette = dict(zip(shown, theme.classes, strict=False))
    colors = [palette[label] for label in labels[~rest].tolist()]
    ax.scatter(x[~rest], y[~rest], c=colors, alpha=0.8, **dots)
    for label in shown:
        ax.text(
            *densest(points[labels == label]),
            class_name(label, names),
            color=theme.ink,
            fontsize=11,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=3.5, foreground=theme.surface)],
            parse_math=False,
        )
    return png(fig)


def densest(points: np.ndarray) -> tuple[float, float]:
    """The point of [n, 2] in the middle of the smallest disc with a third of them.

    Where a class lies in several groups, a mean or a median would fall between them; a
    fixed small number of neighbours would find its smallest clump.
    """
    distances = ((points[:, None] - points) ** 2).sum(axis=-1)  # [n, n]
    radii = np.sort(distances, axis=1)[:, len(points) // 3]
    x, y = points[radii.argmin()]
    return float(x), float(y)


def colored_classes(labels: np.ndarray) -> list[int]:
    """The ten classes with most points (ties: the smaller number), ascending."""
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    return sorted(classes[np.argsort(-counts, kind="stable")][:10].tolist())


def png(fig: Figure) -> bytes:
    """The figure as PNG, without a date or a program's name in it."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _axes(
    theme: Theme, size: tuple[float, float], title: str, over: str
) -> tuple[Figure, Axes]:
    fig = Figure(figsize=size, dpi=DPI, facecolor=theme.surface, layout="constrained")
    FigureCanvasAgg(fig)
    ax = fig.add_subplot(facecolor=theme.surface)
    ax.set_title(
        title,
        loc="left",
        fontsize=9.5,
        color=theme.ink,
        fontweight="bold",
        pad=9,
        parse_math=False,
    )
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.spines["bottom"].set_color(theme.rule)
    ax.grid(axis="y", color=theme.rule, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=8, labelcolor=theme.muted, pad=4)
    ax.set_xlabel(over, fontsize=8, color=theme.muted, loc="right", labelpad=2)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    ax.margins(x=0.01)
    return fig, ax


def _short(value: float) -> str:
    """A tick's number: 1,500 is `1.5k` and 0.0003 is `3e-4`."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e3:
        return f"{value / 1e3:g}k"
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{round(value, 10):g}"


def _name(ax: Axes, names: Sequence[tuple[float, float, str, str]]) -> None:
    """Writes (x, y, text, colour) right of the curves' ends, moved apart if need be."""
    low, high = ax.get_ylim()
    heights = apart([y for _, y, _, _ in names], 0.085 * (high - low))
    right = ax.get_xlim()[1]
    for (_, _, text, color), height in zip(names, heights, strict=True):
        ax.annotate(
            text,
            (right, height),
            xytext=(4, 0),
            textcoords="offset points",
            color=color,
            fontsize=8,
            va="center",
            annotation_clip=False,
            parse_math=False,
        )


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Heights moved as little as keeps neighbours at least `gap` apart, in their order.

    Overlapping ones are pooled around their mean until no two groups touch.
    """
    order = np.argsort(heights, kind="stable")
    groups: list[list[float]] = []
    for i in order:
        groups.append([heights[i]])
        while len(groups) > 1 and _touch(groups[-2], groups[-1], gap):
            last = groups.pop()
            groups[-1] += last
    placed = [
        float(np.mean(group)) + gap * (i - (len(group) - 1) / 2)
        for group in groups
        for i in range(len(group))
    ]
    result = [0.0] * len(placed)
    for i, height in zip(order, placed, strict=True):
        result[i] = height
    return result


def _touch(below: Sequence[float], above: Sequence[float], gap: float) -> bool:
    half = gap * (len(below) + len(above)) / 2
    return float(np.mean(above)) - float(np.mean(below)) < half
