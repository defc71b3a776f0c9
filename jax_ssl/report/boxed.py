"""Boxes drawn on pictures, a colour for each class, numbered as the words below are."""

from collections.abc import Sequence

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from jax_ssl.report.blocks import Column
from jax_ssl.report.tiles import TILE, colors, image

LEAST = 0.3  # Score of the boxes that are drawn.
LISTED = 5  # Boxes of a picture that are named, at most.
LETTER = 16  # Pixels.


def boxed(
    head: str,
    pictures: np.ndarray,
    boxes: np.ndarray,
    names: Sequence[str] | None,
    *,
    scored: bool,
) -> Column:
    """A column of pictures with the boxes that lie on them.

    Args:
        head: of the column.
        pictures: [n, H, W, C] in [0, 1] or uint8.
        boxes: [n, k, 5] (class, left, top, right, bottom) in pixels of the pictures, or
            with the score after the class, [n, k, 6]; of negative class where there is
            none.
        names: of the classes, if they have any.
        scored: whether there are scores; only boxes of `LEAST` and more are drawn then,
            the best first.
    """
    drawn, words = [], []
    for picture, rows in zip(pictures, np.asarray(boxes, np.float64), strict=True):
        own = rows[rows[:, 0] >= 0]
        if scored:
            own = own[own[:, 1] >= LEAST]
            own = own[np.argsort(-own[:, 1], kind="stable")]
        drawn.append(_drawn(image(np.asarray(picture)), own[:, 0], own[:, -4:]))
        said = [
            f"{place} {_named(row[0], names)}" + f" {row[1]:.2f}" * scored
            for place, row in enumerate(own[:LISTED], 1)
        ]
        if len(own) > LISTED:
            said.append(f"and {len(own) - LISTED} more")
        none = f"none of score {LEAST} or more" if scored else "none"
        words.append("\n".join(said) or none)
    return Column(head, np.stack(drawn), words=words)


def _drawn(picture: np.ndarray, classes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] at the size of a tile, with frames and their numbers."""
    height, width = picture.shape[:2]
    scale = min(TILE / height, 3 * TILE / width)
    scale = int(scale) if scale >= 1 else scale
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    nearest, smooth = Image.Resampling.NEAREST, Image.Resampling.LANCZOS
    paper = Image.fromarray(picture).resize(sides, nearest if scale >= 1 else smooth)
    pen = ImageDraw.Draw(paper)
    font = ImageFont.truetype(findfont("DejaVu Sans"), LETTER)
    for place, (number, box) in enumerate(zip(classes, boxes, strict=True), 1):
        color = tuple(colors("tab10", np.array([int(number) % 10]))[0].tolist())
        left, top, right, bottom = (box * scale).tolist()
        right, bottom = max(right - 1, left), max(bottom - 1, top)
        pen.rectangle((left, top, right, bottom), outline=color, width=3)
        if place <= LISTED:
            across = min(max(left + 4, 0), sides[0] - LETTER)
            down = min(max(top + 4, 0), sides[1] - LETTER)
            pen.text(
                (across, down),
                str(place),
                color,
                font,
                stroke_width=2,
                stroke_fill="white",
            )
    return np.asarray(paper)


def _named(number: float, names: Sequence[str] | None) -> str:
    at = int(number)
    return names[at] if names is not None and at < len(names) else str(at)
