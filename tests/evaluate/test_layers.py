"""Probes of every stage: what they read, one after the other, and their curve."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.method import Method
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate.judge import Judge
from jax_ssl.evaluate.layers import averaged, layers, stage_reader
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.parallel.mesh import make_mesh
from tests.encoders.draws import random_variables
from tests.evaluate.test_judge import TEST, TRAIN, data, noted, source, view
from tests.images import SIZE

ENCODER = ENCODERS["convnet"](widths=(4, 8))
SEEN = functools.partial(jax.ShapeDtypeStruct, (SIZE, SIZE, 3), jnp.float32)
QUICK = {"epochs": 2, "batch_size": 16, "learning_rates": (0.1,)}


def variables(seed=0):
    params, stats = random_variables(ENCODER, np.zeros((1, SIZE, SIZE, 3)), seed)
    return {"params": params, **stats}


def windows(cells, side):
    """Adaptive pooling: cell i has the places from floor to ceiling of its share."""
    ends = [(i * cells / side, (i + 1) * cells / side) for i in range(side)]
    return [slice(int(np.floor(a)), int(np.ceil(b))) for a, b in ends]


@pytest.mark.parametrize(
    ("shape", "most", "sides"),
    [
        ((8, 8, 3), 50, (4, 4)),
        ((7, 5, 2), 18, (3, 3)),
        ((7, 2, 2), 18, (3, 2)),
        ((6, 6, 10), 5, (1, 1)),
        ((4, 4, 3), 9000, (4, 4)),
        ((11, 4), 20, (5,)),
    ],
)
def test_a_grid_is_averaged_over_the_largest_that_fits(rng, shape, most, sides):
    grid = rng.normal(size=(2, *shape)).astype(np.float32)
    found = np.asarray(averaged(jnp.asarray(grid), most))
    wanted = np.float64(grid)
    for axis, (cells, side) in enumerate(zip(shape[:-1], sides, strict=True), start=1):
        parts = [
            wanted[(slice(None),) * axis + (window,)].mean(axis)
            for window in windows(cells, side)
        ]
        wanted = np.stack(parts, axis)
    np.testing.assert_allclose(found, wanted.reshape(2, -1), atol=1e-6)
    assert found.shape[1] <= max(most, shape[-1])


def test_the_papers_sizes():
    shapes = [(55, 96), (27, 256), (13, 384), (13, 384), (13, 256)]
    found = [
        jax.eval_shape(lambda x: averaged(x, 9216), jnp.zeros((1, s, s, c))).shape[1]
        for s, c in shapes
    ]
    assert found == [81 * 96, 36 * 256, 16 * 384, 16 * 384, 36 * 256]


def test_each_reader_reads_its_stage(rng):
    images = rng.normal(size=(3, SIZE, SIZE, 3)).astype(np.float32)
    known = variables()
    pyramid = ENCODER.apply(known, images, train=False).pyramid
    for stage in range(2):
        found = stage_reader(ENCODER, stage, 9000)(known, images)
        np.testing.assert_array_equal(found, np.reshape(pyramid[stage], (3, -1)))


@pytest.fixture(scope="module")
def record():
    """What the judge says of both stages, and the sweeps that it made."""
    mesh = make_mesh(devices=jax.devices()[:1])
    method = Method(
        encoder=ENCODER,
        views=view,
        init=None,
        loss=None,
        exports={"encoder": lambda params, state: params},
    )
    judge = Judge(method, view, lambda: (variables(1), ()), mesh, at_once=16)
    swept, parts = [], judge.parts
    judge.parts = lambda reads, *rest: swept.append(reads) or parts(reads, *rest)
    protocols = [noted()[0], *layers(ENCODER, SEEN, features=100, **QUICK)]
    train, test = (
        data(source(TRAIN, 0), mesh, split="train"),
        data(source(TEST, 1), mesh),
    )
    with jax.set_mesh(mesh):
        return judge.judge(protocols, (variables(), ()), train, test), swept


def test_stages_are_swept_one_at_a_time(record):
    _, swept = record
    # Pooled features of train and test, then each stage; twice, then raw pixels.
    assert [len(reads) for reads in swept] == [1] * 14
    words = [reads[0][1] for reads in swept[::2]]
    assert words == ["pooled", "pyramid", "pyramid"] * 2 + ["raw"]
    assert len({reads[0][0] for reads in swept if reads[0][1] == "pyramid"}) == 2


def test_every_stage_is_a_point_of_the_curve(record):
    _, *stages = record[0]["evaluations"]
    assert [stage["title"] for stage in stages] == ["layer 1", "layer 2"]
    assert [stage["along"] for stage in stages] == [["layer", 1], ["layer", 2]]
    for stage, size in zip(stages, (5 * 5 * 4, 3 * 3 * 8), strict=True):
        assert stage["protocol"] == "layers"
        kinds = {row["features"]: row["detail"]["dimensions"] for row in stage["rows"]}
        assert kinds == {"trained": size, "untrained": size}
    assert "along" not in record[0]["evaluations"][0]


def test_some_stages_alone():
    (only,) = layers(ENCODER, SEEN, stages=(2,), **QUICK)
    assert isinstance(only, Protocol)
    assert only.needs == ("label",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": (3,)}, r"stages = \(3,\) must be in \[1, 2\]"),
        ({"stages": ()}, r"stages = \(\) must hold at least one"),
        ({"features": 0}, "features = 0 must be at least 1"),
        ({"epochs": 0}, "epochs = 0 must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        layers(ENCODER, SEEN, **settings)


def test_encoders_without_stages_are_refused():
    vit = ENCODERS["vit"](dim=8, depth=1, num_heads=2, patch=4, image_size=SIZE)
    with pytest.raises(ValueError, match=r"a ViT has no pyramid .* class_tokens"):
        layers(vit, SEEN)
