"""Features keep the order of the source, whatever the batch, the mesh, the gaps."""

import contextlib
from dataclasses import dataclass
from functools import cached_property

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.fields import INDEX, Field
from jax_ssl.core.types import Features
from jax_ssl.data.source import CorruptExamples
from jax_ssl.evaluate import features as module
from jax_ssl.evaluate.features import extract, pixels, pooling_side
from jax_ssl.parallel.mesh import make_mesh


@dataclass(frozen=True, eq=False)
class Source:
    """Random images of which some cannot be read."""

    images: np.ndarray
    labels: np.ndarray | None = None
    corrupt: tuple[int, ...] = ()
    name: str = "random"

    @cached_property
    def fields(self):
        fields = {"image": Field("image", self.images.shape[1:], np.uint8)}
        if self.labels is not None:
            fields["label"] = Field("label", (), np.int32)
        return {**fields, "index": INDEX}

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        bad = {int(row): f"{row}.png ends early" for row in rows if row in self.corrupt}
        if bad:
            raise CorruptExamples(bad)
        out = {"image": self.images[rows], "index": rows.astype(np.int32)}
        return out if self.labels is None else {**out, "label": self.labels[rows]}


class Encoder(nn.Module):
    """Batch norm, so that a training-mode pass would show, then three numbers."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.BatchNorm(use_running_average=not train)(x)
        return Features(nn.Dense(3)(x.reshape(len(x), -1)), x)


def view(key, example):
    return example["image"].astype(jnp.float32) / 255


def make(rng, count=21, **kwargs):
    images = rng.integers(0, 256, (count, 4, 6, 2), np.uint8)
    return Source(images, rng.integers(0, 3, count).astype(np.int32), **kwargs)


def make_variables():
    variables = Encoder().init(jax.random.key(1), jnp.zeros((1, 4, 6, 2)), train=False)
    stats = {"mean": jnp.array([0.3, 0.6]), "var": jnp.array([0.5, 2.0])}
    return {**variables, "batch_stats": {"BatchNorm_0": stats}}


def expected_features(source, variables):
    """By hand in float64; flax adds 1e-5 to the variance."""
    params = jax.tree.map(np.float64, dict(variables["params"]))
    scale = np.sqrt(np.array([0.5, 2.0]) + 1e-5)
    x = (source.images / 255 - np.array([0.3, 0.6])) / scale
    dense = params["Dense_0"]
    return x.reshape(len(x), -1) @ dense["kernel"] + dense["bias"]


@pytest.mark.parametrize(("batch_size", "mesh"), [(4, 0), (21, 0), (64, 0), (5, 8)])
def test_features_are_the_encoders_in_the_order_of_the_source(rng, batch_size, mesh):
    source, variables = make(rng), make_variables()
    with jax.set_mesh(make_mesh(fsdp=2)) if mesh else contextlib.nullcontext():
        found = extract(Encoder(), variables, source, view, batch_size=batch_size)
    expected = expected_features(source, variables)
    np.testing.assert_allclose(found.features, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.labels, source.labels)
    np.testing.assert_array_equal(found.rows, np.arange(21))
    assert found.features.dtype == np.float32
    assert found.labels.dtype == found.rows.dtype == np.int32
    assert found.detail == {"dimensions": 3}


def test_the_encoders_variables_are_left_bit_for_bit(rng):
    variables = make_variables()
    before = jax.tree.map(np.array, variables)
    extract(Encoder(), variables, make(rng), view, batch_size=8)
    jax.tree.map(np.testing.assert_array_equal, variables, before)


@pytest.mark.parametrize("mesh", [False, True])
def test_corrupt_rows_are_left_out_and_counted(rng, mesh):
    corrupt = (0, 1, 2, 3, 6, 20)  # With batches of 4: a whole batch, and a lone last.
    source, variables = make(rng, corrupt=corrupt), make_variables()
    with jax.set_mesh(make_mesh()) if mesh else contextlib.nullcontext():
        found = extract(Encoder(), variables, source, view, batch_size=4)
    rows = np.setdiff1d(np.arange(21), corrupt)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.labels, source.labels[rows])
    expected = expected_features(source, variables)[rows]
    np.testing.assert_allclose(found.features, expected, rtol=1e-5, atol=1e-5)
    assert found.detail["corrupt_examples"] == 6


def test_a_source_of_which_nothing_can_be_read_is_refused(rng):
    with pytest.raises(ValueError, match="not one of 3 rows of random"):
        extract(Encoder(), make_variables(), make(rng, 3, corrupt=(0, 1, 2)), view)


def test_a_source_without_labels_gives_none(rng):
    source = Source(make(rng).images)
    assert extract(Encoder(), make_variables(), source, view).labels is None


def test_other_variables_of_one_shape_compile_nothing(rng):
    source, variables = make(rng), make_variables()
    first = extract(Encoder(), variables, source, view, batch_size=8)
    count = module._encode._cache_size()
    moved = jax.tree.map(lambda leaf: leaf + 1, variables)
    second = extract(Encoder(), moved, source, view, batch_size=8)
    assert module._encode._cache_size() == count
    assert np.abs(first.features - second.features).max() > 0.1


def test_pixels_are_the_view_laid_flat(rng):
    source = make(rng)
    found = pixels(source, view, batch_size=8)
    np.testing.assert_allclose(
        found.features, source.images.reshape(21, -1) / 255, rtol=1e-6
    )
    assert found.detail == {"dimensions": 48}


def test_large_images_are_averaged_over_squares(rng):
    source = make(rng)
    with jax.set_mesh(make_mesh()):
        found = pixels(source, view, batch_size=8, max_dim=12)
    squares = source.images.reshape(21, 2, 2, 3, 2, 2).mean((2, 4)) / 255
    np.testing.assert_allclose(found.features, squares.reshape(21, -1), rtol=1e-5)
    assert found.detail == {"dimensions": 12, "pooled_by": 2}


@pytest.mark.parametrize(
    ("image", "side"),
    [((32, 32, 3), 1), ((224, 224, 3), 7), ((96, 96, 3), 3), ((33, 32, 3), 2)],
)
def test_pooling_is_the_least_that_fits(image, side):
    assert pooling_side(image, 3072) == side


def test_a_view_of_several_images_is_refused(rng):
    def two(key, example):
        return jnp.stack([view(key, example)] * 2)

    with pytest.raises(ValueError, match=r"\(2, 4, 6, 2\) of an example.*center_crop"):
        pixels(make(rng), two)
