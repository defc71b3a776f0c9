"""Ways of cameras: what is drawn of the rows of an evaluation, and how."""

import io

import numpy as np
from PIL import Image

from jax_ssl.report.draw import paths
from jax_ssl.report.theme import LIGHT
from jax_ssl.report.tracks import tracks


def pair(shift):
    way = [[0.0, 0.0], [0.0, 4.0], [4.0, 4.0]]
    return {"true": way, "found": [[x + shift, z] for x, z in way]}


def test_each_sequence_has_a_figure_with_the_truth_once():
    rows = [
        {
            "features": "trained",
            "tracks": {"sequence 9": pair(1), "sequence 10": pair(2)},
        },
        {"features": "straight_ahead", "tracks": {"sequence 9": pair(3)}},
        {"features": "untrained"},
    ]
    nine, ten = tracks([{"rows": [{"features": "trained"}]}, {"rows": rows}])
    assert [*nine.paths] == ["true", "trained", "straight ahead"]
    assert [*ten.paths] == ["true", "trained"]
    np.testing.assert_array_equal(nine.paths["true"], pair(0)["true"])
    np.testing.assert_array_equal(nine.paths["straight ahead"][:, 0], [3, 3, 7])
    assert tracks([]) == []


def test_both_axes_have_one_scale():
    """The truth goes as far forward as to the right, and so it does in the figure."""
    (found,) = tracks([{"rows": [{"features": "trained", "tracks": {"s": pair(0.5)}}]}])
    drawn = np.asarray(Image.open(io.BytesIO(paths(found, LIGHT))).convert("RGB"))
    ink = tuple(int(LIGHT["ink"][i : i + 2], 16) for i in (1, 3, 5))
    plane = drawn[int(0.2 * len(drawn)) :]  # Below the title and the legend.
    rows, columns = np.nonzero((plane == ink).all(-1))
    assert abs(np.ptp(rows) - np.ptp(columns)) < 0.05 * np.ptp(rows)
