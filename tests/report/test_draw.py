import io

import numpy as np
from PIL import Image, ImageColor

from jax_ssl.report.blocks import Curve, Curves, Map
from jax_ssl.report.draw import chart, scatter
from jax_ssl.report.theme import LIGHT

LONG = "a name that goes on for much longer than a phone has room, and then some more"


def frame(png):
    """Whether the picture's outermost pixels have another colour than its surface."""
    drawn = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    other = (drawn != ImageColor.getrgb(LIGHT["surface"])).any(axis=-1)
    return [side.any() for side in (other[:2], other[-2:], other[:, :2], other[:, -2:])]


def test_no_word_of_a_chart_is_cut():
    x = np.arange(9.0)
    found = {f"{LONG} {i}": Curve(1e5 * x, 1e-7 * (x + i)) for i in range(4)}
    drawn = chart(Curves("a", LONG, found, {"level": -1e-7}), LIGHT)
    assert frame(drawn) == [False] * 4
    short = {"a": Curve(x, -123_456.0 * x), "b": Curve(x, x)}
    assert frame(chart(Curves("a", "b", short), LIGHT)) == [False] * 4


def test_no_name_of_a_map_is_cut():
    """Each of the four classes lies in a corner."""
    corners = np.array([[-9, -4], [-9, 4], [9, -4], [9, 4]], float)
    points = np.repeat(corners, 5, axis=0)
    labels = np.repeat(np.arange(4), 5)
    drawn = scatter(Map("m", "", points, labels, [LONG.replace(" ", "_")] * 4), LIGHT)
    assert frame(drawn) == [False] * 4
