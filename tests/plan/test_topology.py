import importlib.util
from types import SimpleNamespace

import jax
import pytest

from jax_ssl.parallel.chips import GIB
from jax_ssl.plan.topology import SLICES, Slice, open_slice, parse
from jax_ssl.train.flops import peak_flops

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)


def test_names_of_slices_are_read():
    assert parse("v5e:4x8") == ("v5e", (4, 8))
    assert parse("v4:2x2x4") == ("v4", (2, 2, 4))
    assert parse("cpu:8") == ("cpu", (8,))


@pytest.mark.parametrize(
    "text", ["", "v5e", "v5e:", "v5e:4", "v5e:4x8x2", "v4:4x4", "h100:8", "v5e:0x4"]
)
def test_other_names_are_refused_with_examples(text):
    with pytest.raises(ValueError, match=r"v5e:4x8.*cpu:8"):
        parse(text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("v4", "TPU v4"),
        ("v5e", "TPU v5 lite"),
        ("v5p", "TPU v5"),
        ("v6e", "TPU v6 lite"),
    ],
)
def test_slices_are_planned_with_the_chips_that_utilisation_is_measured_by(name, kind):
    assert SLICES[name].flops == peak_flops(SimpleNamespace(device_kind=kind))


def test_published_figures():
    v5e = SLICES["v5e"]  # 16 GB, of which 15.75 GiB are free; 4 links, 400 GB/s in all.
    assert v5e.memory == 15.75 * GIB
    assert v5e.bandwidth == 819e9
    assert v5e.link * 4 * 2 == 400e9
    assert SLICES["v5p"].link * 6 * 2 == 1200e9


@pytest.mark.parametrize(
    ("kind", "extents", "links"),
    [
        ("v5e", (1, 1), 0),
        ("v5e", (1, 4), 1),
        ("v5e", (4, 8), 2),
        ("v5e", (8, 16), 3),
        ("v5e", (16, 16), 4),
        ("v4", (2, 2, 4), 3),
        ("v4", (4, 4, 4), 6),
        ("v5p", (4, 4, 2), 3),
    ],
)
def test_links_of_a_corner(kind, extents, links):
    assert Slice("", [], SLICES[kind], extents).links == links


def test_cpus_are_this_machines():
    where = open_slice("cpu:8", chips=2)
    assert list(where.devices) == jax.devices()[:2]
    assert where.chip is None
    with pytest.raises(ValueError, match="xla_force_host_platform_device_count=9"):
        open_slice("cpu:9")
    with pytest.raises(ValueError, match="1 to 8"):
        open_slice("cpu:8", chips=9)


def test_without_libtpu_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install libtpu.*cpu:8"):
        open_slice("v5e:2x2")


@needs_libtpu
def test_slices_of_every_kind_exist():
    sizes = {"v4:2x2x1": 4, "v5e:1x1": 1, "v5e:4x8": 32, "v5p:2x2x2": 8, "v6e:2x4": 8}
    for text, size in sizes.items():
        where = open_slice(text)
        assert len(where.devices) == size
        assert where.extents == parse(text)[1]
    some = open_slice("v5e:4x8", chips=4)  # Versions differ in which four are first.
    assert some.extents in ((4, 1), (2, 2))
    assert str(some) == "4 of v5e:4x8, 4 × TPU v5e"


@needs_libtpu
def test_the_compiler_knows_the_memory_of_a_chip():
    """XLA refuses a program that is too large, naming `TPU.memory`."""
    where = open_slice("v5e:1x1")
    sharding = jax.sharding.SingleDeviceSharding(where.devices[0])
    x = jax.ShapeDtypeStruct((60_000, 60_000), "float32", sharding=sharding)
    lowered = jax.jit(lambda x: jax.numpy.sort(x, axis=0) @ x).lower(x)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"15\.75G"):
        lowered.compile()
