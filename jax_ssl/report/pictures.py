"""Grids of images: the views as the network sees them, and nearest neighbours.

Tiles are laid out at device pixels by NumPy and never resampled by the plotting
library, so a pixel of a small image is a square of whole pixels here.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from jax_ssl.report.charts import DPI, png
from jax_ssl.report.inputs import Neighbors, ReportInputs, class_name
from jax_ssl.report.theme import DIFFERENT, NEUTRAL_INK, SAME

TILE = 168  # pixels at DPI
GAP = 20
MAX_ROWS = 10
MAX_COLUMNS = 12


class Grid(NamedTuple):
    """A picture and the sentences that go below it."""

    png: bytes
    caption: str


def views_grid(inputs: ReportInputs) -> Grid | None:
    """Originals at the left, their views at the right; None without views."""
    groups, said = shown_views(inputs.view_groups, inputs.view_mean, inputs.view_std)
    if not groups or not groups[0].size:
        return None
    rows = min(len(groups[0]), MAX_ROWS)
    columns: list[np.ndarray] = []
    heads = []
    if inputs.originals is not None:
        columns.append(inputs.originals[:rows])
        heads.append("original")
    views = [group[:rows, i] for group in groups for i in range(group.shape[1])]
    heads += [f"view {i + 1}" for i in range(len(views))]
    columns += views
    total = len(columns)
    columns, heads = columns[:MAX_COLUMNS], heads[:MAX_COLUMNS]
    sizes = dict.fromkeys(f"{g.shape[2]} × {g.shape[3]}" for g in groups)
    caption = f"Views are {' and '.join(sizes)} pixels. {said}"
    if total > len(columns) or len(groups[0]) > rows:
        caption += (
            f" The first {rows} of {len(groups[0])} images and the first "
            f"{len(columns)} of {total} columns are shown."
        )
    breaks = (1,) if inputs.originals is not None else ()
    canvas = Canvas(rows, len(columns), head=34, foot=0, breaks=breaks)
    for c, (head, column) in enumerate(zip(heads, columns, strict=True)):
        canvas.write(-1, c, head)
        for r, image in enumerate(column):
            canvas.place(r, c, tile(image))
    return Grid(canvas.png(), caption)


def operations_grid(operations: Mapping[str, np.ndarray] | None) -> Grid | None:
    """A column for each operation and view, a row for each draw; None without any."""
    if not operations:
        return None
    titles = list(operations)[:MAX_COLUMNS]
    rows = min(MAX_ROWS, *(len(operations[title]) for title in titles))
    canvas = Canvas(rows, len(titles), head=34, foot=0)
    for c, title in enumerate(titles):
        canvas.write(-1, c, title)
        for r in range(rows):
            canvas.place(r, c, tile(operations[title][r]))
    caption = (
        "The recipe's operations on one image, each by itself and for certain, and its "
        "views, where they follow each other with the recipe's probabilities. Each row "
        "is another draw; the standardization is left out."
    )
    left = len(operations) - len(titles)
    return Grid(
        canvas.png(), caption + (f" {left} more are not shown." if left else "")
    )


def neighbors_grid(neighbors: Neighbors, names: Sequence[str] | None) -> Grid | None:
    """Queries at the left, their neighbours at the right; None where there are none."""
    q, k = neighbors.images.shape[:2]
    if not q or not k:
        return None
    rows, found = min(q, MAX_ROWS), min(k, MAX_COLUMNS - 1)
    asked, given = neighbors.query_labels, neighbors.labels
    canvas = Canvas(rows, 1 + found, head=34, foot=32, breaks=(1,))
    canvas.write(-1, 0, "query")
    for c in range(found):
        canvas.write(-1, 1 + c, "nearest" if c == 0 else f"{c + 1}")
    for r in range(rows):
        canvas.place(r, 0, tile(neighbors.queries[r]))
        if asked is not None:
            canvas.write(r, 0, class_name(int(asked[r]), names))
        for c in range(found):
            text, color = f"{neighbors.similarities[r, c]:.2f}", None
            if given is not None:
                text += f" · {class_name(int(given[r, c]), names)}"
            if asked is not None and given is not None:
                color = SAME if int(asked[r]) == int(given[r, c]) else DIFFERENT
            canvas.place(r, 1 + c, tile(neighbors.images[r, c]), frame=color)
            canvas.write(r, 1 + c, text, color)
    caption = "Below each neighbour: the cosine of its features with the query's."
    if asked is not None and given is not None:
        share = float((given == asked[:, None]).mean())
        caption += (
            " A green frame is a neighbour of the query's class, an orange one is of "
            f"another; {100 * share:.1f} % of all {q * k:,} neighbours agree."
        )
    else:
        caption += " There are no labels, so frames cannot say which are right."
    return Grid(canvas.png(), caption)


def shown_views(
    groups: Sequence[np.ndarray],
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> tuple[list[np.ndarray], str]:
    """Views brought back to [0, 1], and the sentence that says how.

    With mean and std the normalisation is undone and what leaves [0, 1] is clipped.
    Without them values in [0, 1] stay, and others are stretched view by view.
    """
    if mean is not None and std is not None:
        shift, scale = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        said = "The recipe's mean and standard deviation have been undone."
        return [np.clip(group * scale + shift, 0, 1) for group in groups], said
    # Resampling rounds: an edge of 1 + 1e-6 is not a normalised view.
    if all(np.nanmin(g) >= -0.01 and np.nanmax(g) <= 1.01 for g in groups if g.size):
        return [
            np.clip(group, 0, 1) for group in groups
        ], "Values are shown as they are."
    stretched = []
    for group in groups:
        low = np.nanmin(group, axis=(2, 3, 4), keepdims=True)
        span = np.nanmax(group, axis=(2, 3, 4), keepdims=True) - low
        stretched.append((group - low) / np.where(span > 0, span, 1))
    return stretched, (
        "Their mean and standard deviation are not known here, so each view is "
        "stretched from its own minimum to its own maximum: colours of two views are "
        "not to be compared."
    )


def tile(image: np.ndarray) -> np.ndarray:
    """An image [h, w, C] in [0, 1] (or uint8) as [H, W, 3] uint8, max(H, W) <= TILE.

    Images that fit are enlarged by a whole factor with square pixels, larger ones are
    reduced with antialiasing. One channel is grey; of two the first is shown, of more
    the first three.
    """
    if image.dtype != np.uint8:
        levels = np.clip(np.nan_to_num(image.astype(np.float32)), 0, 1)
        image = np.round(255 * levels).astype(np.uint8)
    image = image[..., :3] if image.shape[-1] >= 3 else image[..., :1]
    image = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    side = max(image.shape[:2])
    if side <= TILE:
        factor = TILE // side
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = (max(1, round(n * TILE / side)) for n in image.shape[:2])
    reduced = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(reduced)


class Canvas:
    """A transparent sheet of tiles with words above and below them.

    Attributes:
        head: pixels above the tiles, for words.
        foot: pixels below each row, likewise.
        breaks: columns with extra room to their left.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        head: int,
        foot: int,
        breaks: Collection[int] = (),
    ) -> None:
        self.head, self.foot, self.breaks = head, foot, breaks
        width = GAP + columns * (TILE + GAP) + GAP * len(breaks)
        height = head + rows * (TILE + foot + GAP) + GAP // 2
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self.fig = Figure(
            figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="none"
        )
        FigureCanvasAgg(self.fig)

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Pixels from the top and from the left to the tile's corner."""
        room = sum(column >= at for at in self.breaks)
        left = GAP + column * (TILE + GAP) + GAP * room
        return self.head + row * (TILE + self.foot + GAP) + GAP // 2, left

    def place(
        self, row: int, column: int, image: np.ndarray, frame: str | None = None
    ) -> None:
        """Puts an image in the middle of its tile, framed where a colour is given."""
        top, left = self.corner(row, column)
        height, width = image.shape[:2]
        top, left = top + (TILE - height) // 2, left + (TILE - width) // 2
        self.pixels[top : top + height, left : left + width, :3] = image
        self.pixels[top : top + height, left : left + width, 3] = 255
        if frame is None:
            return
        sheet_height, sheet_width = self.pixels.shape[:2]
        box = Rectangle(
            ((left - 3) / sheet_width, 1 - (top + height + 3) / sheet_height),
            (width + 6) / sheet_width,
            (height + 6) / sheet_height,
            transform=self.fig.transFigure,
            facecolor="none",
            edgecolor=frame,
            linewidth=1.4,
        )
        self.fig.add_artist(box)

    def write(self, row: int, column: int, text: str, color: str | None = None) -> None:
        """Writes below a tile; row -1 is the heads of the columns."""
        top, left = self.corner(max(row, 0), column)
        middle = self.head - 15 if row < 0 else top + TILE + self.foot / 2 + 4
        self._text(left + TILE / 2, middle, text, color)

    def title(self, first: int, last: int, text: str) -> None:
        """Writes above the heads of some columns, the last among them; needs room."""
        (_, left), (_, right) = self.corner(0, first), self.corner(0, last)
        self._text((left + right + TILE) / 2, self.head - 47, text, None)

    def _text(self, x: float, y: float, text: str, color: str | None) -> None:
        height, width = self.pixels.shape[:2]
        self.fig.text(
            x / width,
            1 - y / height,
            text if len(text) <= 17 else text[:16] + "…",
            color=color or NEUTRAL_INK,
            fontsize=7.5,
            ha="center",
            va="center",
            parse_math=False,
        )

    def png(self) -> bytes:
        """The sheet, its tiles exactly as they were placed."""
        self.fig.figimage(self.pixels, resize=False, origin="upper")
        return png(self.fig)
