import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.ops.conv import conv_general_dilated
from jax_ssl.plan import open_slice, plan
from jax_ssl.plan.planner import Planned
from jax_ssl.plan.search import search
from jax_ssl.plan.sizes import KINDS
from jax_ssl.plan.source import stand_in
from jax_ssl.plan.table import WIDTH, format_table
from jax_ssl.plan.topology import SLICES, Slice
from jax_ssl.train.flops import live_flops
from tests.plan.test_topology import needs_libtpu
from tests.test_config import PAGES

B, WIDTHS, HIDDEN, OUTPUT = 32, (4, 8), 16, 6


PAGE = str(PAGES[0].parent / "simclr_digits.py")
TINY = (
    f"feed.batch_size={B}",
    f"encoder.widths={WIDTHS}",
    f"method.hidden_dim={HIDDEN}",
    f"method.output_dim={OUTPUT}",
    "feed.resident=False",
)


def config(*changes):
    return resolved(override(load_page(PAGE), [*TINY, *changes]))


@pytest.fixture(scope="module")
def planned():
    return plan(config(), open_slice("cpu:8"))


def test_bytes_are_those_of_the_arrays(planned):
    sizes = planned.sizes
    assert tuple(sizes) == KINDS
    assert sizes["parameters"] == 4 * planned.parameters
    assert sizes["optimizer"] == 2 * sizes["parameters"] + 8  # Adam's, and two counts.
    assert sizes["batch"] == B // 8 * 8 * 8  # uint8; "index" and "label" are not used.
    assert sizes["resident"] == 0
    assert sizes["temporaries"] > 0
    assert planned.total == sum(sizes.values())


def test_gather_is_that_of_the_embeddings(planned):
    gathers = [one for one in planned.collectives if one.kind == "all-gather"]
    assert [one.bytes for one in gathers] == [B * 2 * OUTPUT * 4]
    reduced = sum(one.bytes for one in planned.collectives if one.kind == "all-reduce")
    assert reduced > 4 * planned.parameters  # The gradient, and batch statistics.


@pytest.mark.parametrize("channels", [8, 16])  # With 16, its gradient is a custom one.
def test_flops_of_a_convolution_are_counted_once(channels):
    def loss(x, kernel):
        y = conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.square(y).sum()

    shapes = jnp.ones((2, 5, 5, channels)), jnp.ones((1, 1, channels, channels))
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    product = 2 * (2 * 5 * 5) * channels * channels
    assert live_flops(gradient.trace(*shapes).jaxpr) == 3 * product


def test_a_data_set_in_memory_counts_on_every_device():
    resident = plan(config("feed.resident=True"), open_slice("cpu:8"))
    images = len(resident.experiment.source) * 8 * 8
    assert resident.sizes["resident"] == images
    assert resident.sizes["batch"] == B // 8 * 4  # Row numbers.


def test_what_fits_depends_on_the_memory(planned):
    def given(capacity):
        values = {**vars(planned), "capacity": capacity}
        return Planned(**values)

    assert given(planned.total).fits
    assert not given(planned.total - 1).fits
    assert "fits" in format_table(given(planned.total)).splitlines()[0]
    assert "DOES NOT FIT" in format_table(given(planned.total - 1))
    refused = Planned(**{**vars(planned), "compiled": False, "capacity": 1e18})
    assert not refused.fits
    assert refused.roofline is None
    assert "refused" in format_table(refused)


def test_a_chip_gives_times_and_rates(planned):
    where = Slice("v5e:2x4", planned.where.devices, SLICES["v5e"], (2, 4))
    values = Planned(**{**vars(planned), "where": where, "capacity": 16e9}).as_dict()
    bounds = values["roofline"]
    step = bounds["step_seconds"]
    np.testing.assert_allclose(
        bounds["compute_seconds"], planned.flops / (8 * 197e12), rtol=1e-6
    )
    assert step == max(bounds[f"{k}_seconds"] for k in ("compute", "memory", "network"))
    assert bounds["examples_per_second"] == B / step
    np.testing.assert_allclose(bounds["hours"], values["num_steps"] * step / 3600)
    assert values["chip"] == "TPU v5e"
    table = format_table(Planned(**{**vars(planned), "where": where}))
    assert "◀ bound" in table
    assert max(map(len, table.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("goal", "capacity", "changes", "section", "found"),
    [
        ("batch", 100.5e6, (), "feed", {"batch_size": 96}),  # 104 is the next.
        ("chunks", 20e6, ("encoder.groups=16",), "run", {"chunks": 2}),
    ],
)
def test_search_changes_the_batch_or_the_chunks_alone(
    planned, goal, capacity, changes, section, found
):
    """A megabyte for each row of a chunk, and nothing is compiled."""

    def compile_one(given):
        built = Experiment(given, devices=planned.where.devices)
        need = 1e6 * built.feeding.batch_size / built.run.chunks
        return dataclasses.replace(
            planned, experiment=built, sizes={"temporaries": need}, capacity=capacity
        )

    given = config(*changes)
    best, lines = search(compile_one(given), goal, compile_one)
    assert best.experiment.config == {**given, section: {**given[section], **found}}
    (value,) = found.values()
    need = (value if goal == "batch" else B / value) / 1e3
    assert any(f"{goal} {value}: {need:.3f} GB, fits" in line for line in lines)
    assert any("does not fit" in line for line in lines)


def test_known_data_sets_need_not_be_here():
    source = stand_in(
        {
            "name": "tfds",
            "dataset": "imagenet2012:5.1.0",
            "split": "train",
            "canvas": 64,
        }
    )
    assert len(source) == 1_281_167
    assert source.fields["image"].shape == (64, 64, 3)
    assert source.fields["size"].shape == (2,)
    with pytest.raises(FileNotFoundError, match="only planned"):
        source[np.arange(2)]
    small = stand_in({"name": "tfds", "dataset": "cifar10", "split": "train"})
    assert (len(small), small.fields["image"].shape) == (50_000, (32, 32, 3))


def test_waves_are_planned_without_their_files():
    data = {"name": "sounds", "samples": 640, "rate": 16000, "labels": "folders"}
    fields = stand_in(data, 100).fields
    assert fields["wave"].shape == (640,)
    assert fields["wave"].rate == 16000
    assert fields.keys() == {"wave", "length", "index", "label"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": "folder", "path": "x", "canvas": 64}, "--num_examples"),
        ({"name": "tfds", "dataset": "cifar10", "split": "train[:9%]"}, "num_examples"),
        ({"name": "tfds", "dataset": "imagenet2012", "split": "train"}, "data.canvas"),
    ],
)
def test_what_is_not_known_must_be_said(data, says):
    with pytest.raises(ValueError, match=says):
        stand_in(data)


@needs_libtpu
def test_a_step_compiles_for_a_tpu_nobody_has():
    tpu = plan(config(), open_slice("v5e:2x2"))
    assert tpu.fits
    assert tpu.loops_unknown == 0
    assert tpu.sizes["batch"] >= B // 4 * 8 * 8
    assert tpu.roofline["step_seconds"] > 0
    gathers = [one for one in tpu.collectives if one.kind == "all-gather"]
    assert sum(one.bytes for one in gathers) >= B * 2 * OUTPUT * 4
