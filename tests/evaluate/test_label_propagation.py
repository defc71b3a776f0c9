"""Objects followed through films: J and F, the way of labels, and the protocol."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.method import Method
from jax_ssl.core.types import Features
from jax_ssl.data.arrays import arrays
from jax_ssl.data.synthetic_tracks import synthetic_tracks
from jax_ssl.evaluate import davis
from jax_ssl.evaluate.judge import Judge
from jax_ssl.evaluate.label_propagation import (
    Memory,
    hard_labels,
    label_propagation,
    measured,
    soft_labels,
    unit,
)
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.test_judge import data

SIZE, CELL = 16, 2
SEEN = functools.partial(jax.ShapeDtypeStruct, (SIZE, SIZE, 3), jnp.float32)


class Patches(nn.Module):
    """The pixels of each cell, through a matrix of which one column is zero."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        kernel = self.param("kernel", nn.initializers.zeros, (CELL * CELL * 3, 12))
        B, H, W, C = x.shape
        cells = x.reshape(B, H // CELL, CELL, W // CELL, CELL, C).swapaxes(2, 3)
        grid = cells.reshape(B, H // CELL, W // CELL, -1) @ kernel
        return Features(grid.mean((1, 2)), grid)


def drawn(height, width):
    """A disc, and an ellipse beside it."""
    y, x = np.mgrid[:height, :width]
    disc = (y - 0.45 * height) ** 2 + (x - 0.4 * width) ** 2 < (0.22 * height) ** 2
    low = ((y - 0.5 * height) / 1.2) ** 2
    return disc, low + (x - 0.43 * width) ** 2 < (0.2 * height) ** 2


@pytest.mark.parametrize(
    ("sides", "j", "f", "wide"),
    [
        ((30, 40), 0.6932515337423313, 0.6017094017094017, 0.6017094017094017),
        ((100, 180), 0.6459356246590289, 0.2715867158671587, 0.557718804289223),
        ((240, 427), 0.650951434251633, 0.21970572375009625, 0.453674916055217),
    ],
)
def test_j_and_f_are_those_of_the_challenge(sides, j, f, wide):
    """Numbers of davischallenge's davis2017-evaluation at commit ac7c43f."""
    true, found = drawn(*sides)
    assert davis.region(found, true) == pytest.approx(j, rel=1e-12)
    assert davis.boundary(found, true) == pytest.approx(f, rel=1e-12)
    assert davis.boundary(found, true, 0.02) == pytest.approx(wide, rel=1e-12)


def test_empty_masks_have_the_challenges_scores():
    true, none = drawn(30, 40)[0], np.zeros((30, 40), bool)
    assert (davis.region(none, none), davis.boundary(none, none)) == (1, 1)
    assert (davis.region(none, true), davis.boundary(none, true)) == (0, 0)
    assert (davis.region(true, none), davis.boundary(true, none)) == (0, 0)
    assert (davis.region(true, true), davis.boundary(true, true)) == (1, 1)
    # A mask that fills the picture has no boundary at all.
    assert davis.boundary(~none, none) == 1


def test_statistics_are_those_of_the_challenge():
    values = np.array([0.9, 0.8, 0.85, 0.4, 0.55, 0.3, 0.2, 0.6, 0.5])
    wanted = (0.5666666666666668, 0.5555555555555556, 0.41666666666666674)
    assert davis.statistics(values) == pytest.approx(wanted, rel=1e-12)


def test_the_first_frame_and_the_last_do_not_count():
    true = np.zeros((4, 20, 20), np.uint8)
    true[:, 5:12, 5:12] = 1
    true[:, 14:18, 14:18] = 2
    found = true[1:].copy()
    found[-1] = 0
    scores = measured(found, true, davis.BOUND)
    assert {number: (j.mean, f.mean) for number, (j, f) in scores.items()} == {
        1: (1, 1),
        2: (1, 1),
    }
    found[0][found[0] == 2] = 0
    assert measured(found, true, davis.BOUND)[2][0].mean == 0.5


def test_labels_go_the_way_of_dinos_code():
    """Numbers of facebookresearch/dino's eval_video_segmentation.py on these cells."""
    frames, h, w, D, last = 6, 5, 7, 6, 2
    t, y, x, k = np.meshgrid(*map(np.arange, (frames, h, w, D)), indexing="ij")
    wave = 0.7 * (y - 0.5 * t) * (1 + k % 3) + 0.9 * (x - 0.3 * t) * (1 + k // 3) + k
    cells = np.sin(wave) + 0.2 * np.cos(5 * t + 3 * y + 7 * x + k * k)
    cells = unit(jnp.asarray(cells, jnp.float32))
    first = np.zeros((h, w), int)
    first[1:3, 1:4], first[3:, 4:] = 1, 2
    labels = np.eye(3, dtype=np.float32)[first]
    follow = jax.jit(functools.partial(soft_labels, reach=2, top_k=3, temperature=0.1))
    harden = jax.jit(lambda soft: hard_labels(soft, (4 * h, 4 * w)))
    known = np.zeros(1 + last, bool)
    held = [np.zeros((1 + last, h, w, n), np.float32) for n in (D, 3)]
    held[0][0], held[1][0], known[0] = cells[0], labels, True
    found = []
    for at in range(1, frames):
        soft = np.asarray(follow(cells[at], Memory(*map(jnp.asarray, held)), known))
        place = 1 + (at - 1) % last
        held[0][place], held[1][place], known[place] = cells[at], soft, True
        hard = np.asarray(harden(soft)).astype(int)
        where = int((hard * np.arange(1, hard.size + 1).reshape(hard.shape)).sum())
        found.append(
            (*soft[2, 3], *soft.sum((0, 1)), *np.bincount(hard.ravel()), where)
        )
    wanted = [
        (0.0, 0.554502, 0.445498, 24.52769, 6.94747, 3.52483, 445, 72, 43, 58524),
        (0.589898, 0.410102, 0.0, 25.35377, 7.06843, 2.57781, 443, 95, 22, 49348),
        (0.447292, 0.552708, 0.0, 25.61694, 7.98901, 1.39405, 415, 122, 23, 51108),
        (0.995707, 0.004293, 0.0, 24.65109, 9.56707, 0.78185, 393, 144, 23, 61326),
        (0.999965, 3.5e-05, 0.0, 24.0778, 10.34135, 0.58085, 361, 184, 15, 72051),
    ]
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def view(key, example):
    del key
    return example["image"].astype(jnp.float32) / 255


def rows_of(tracks, mesh, **settings):
    """A network that says what pixels do, which is a control; untrained it is zero."""
    method = Method(
        encoder=Patches(),
        views=view,
        init=None,
        loss=None,
        exports={"encoder": lambda params, state: {"params": params}},
    )
    one = Judge(method, view, lambda: ({"kernel": jnp.zeros((12, 12))}, ()), mesh)
    train = data(tracks.keep({"image"}), mesh)
    protocol = label_propagation(Patches(), SEEN, **settings)
    trained = {"kernel": jnp.eye(12)}, ()
    with jax.set_mesh(mesh):
        record = one.judge([protocol], trained, train, data(tracks, mesh))
    (evaluation,) = record["evaluations"]
    return {row["features"]: row for row in evaluation["rows"]}


@functools.cache
def judged(devices):
    tracks = synthetic_tracks(
        num_films=3, num_frames=5, size=SIZE, translation=(0.3, 0.1, 0.0), split="test"
    )
    mesh = make_mesh(devices=jax.devices()[:devices])
    return rows_of(tracks, mesh, neighbourhood=3)


def test_an_object_that_was_long_gone_is_known_from_the_first_frame():
    """It is hidden for more frames than are kept beside the first one."""
    hidden, last = 3, 2
    image = np.full((hidden + 3, SIZE, SIZE, 3), (40, 90, 200), np.uint8)
    mask = np.zeros((hidden + 3, SIZE, SIZE), np.uint8)
    for at in (0, hidden + 1, hidden + 2):  # The last one does not count.
        image[at, 4:10, 6:12] = (220, 60, 30)
        mask[at, 4:10, 6:12] = 1
    given = {
        "image": image,
        "mask": mask,
        "sequence": np.zeros(len(image), int),
        "frame": np.arange(len(image)),
    }
    film = arrays(
        given,
        {"sequence": "number", "frame": "number"},
        mask_names=("background", "box"),
        name="hidden",
    )
    mesh = make_mesh(devices=jax.devices()[:1])
    rows = rows_of(film, mesh, last_frames=last, neighbourhood=0, top_k=1)
    assert rows["trained"]["j_mean"] == rows["trained"]["f_mean"] == 1.0


def test_a_disc_is_followed_by_its_colours_and_nothing_is_learned():
    """The training part has no masks."""
    rows = judged(1)
    assert [*rows] == ["trained", "untrained", "pixels"]
    assert rows["trained"]["j_and_f"] == rows["pixels"]["j_and_f"]
    unmoved = rows["trained"]["detail"]["unmoved"]
    assert rows["trained"]["j_and_f"] > 0.6 > unmoved
    assert rows["untrained"]["j_mean"] < 0.5
    both = [rows["trained"][name] for name in ("j_mean", "f_mean")]
    assert rows["trained"]["j_and_f"] == pytest.approx(np.mean(both))
    assert len(rows["trained"]["detail"]["objects"]) == 3


@pytest.mark.slow
def test_any_number_of_devices_gives_the_same_scores():
    for kind, row in judged(8).items():
        assert row["j_and_f"] == pytest.approx(judged(1)[kind]["j_and_f"], abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"last_frames": 0}, "last_frames = 0 must be at least 1"),
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"neighbourhood": -1}, "neighbourhood = -1 must be at least 0"),
        ({"stage": 1}, r"stage = 1 must be in \[1, 0\]"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        label_propagation(Patches(), SEEN, **settings)
