import threading
import time

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jax_ssl.parallel.feed import Prefetch, resident, take, to_global
from jax_ssl.parallel.mesh import BATCH_AXES, make_mesh, row_sharding


@pytest.fixture
def batch(rng):
    return {
        "image": rng.integers(0, 256, (16, 4, 4, 3), np.uint8),
        "index": np.arange(16, dtype=np.int32),
    }


def feeders():
    return [t for t in threading.enumerate() if t.name.startswith("jax_ssl-feed")]


@pytest.mark.parametrize(("devices", "fsdp"), [(1, 1), (4, 1), (8, 2), (8, 8)])
def test_rows_are_shared_by_all_devices_in_order(batch, devices, fsdp):
    mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
    out = to_global(batch, mesh)
    for name, host in batch.items():
        assert out[name].sharding.spec == P(BATCH_AXES)
        assert out[name].dtype == host.dtype
        np.testing.assert_array_equal(out[name], host)
    b = 16 // devices
    for i, device in enumerate(mesh.devices.flat):
        (mine,) = [s for s in out["index"].addressable_shards if s.device == device]
        assert np.asarray(mine.data).tolist() == list(range(i * b, i * b + b))


def test_rows_that_cannot_be_shared_are_refused(batch):
    batch = {name: rows[:12] for name, rows in batch.items()}
    with pytest.raises(ValueError, match="12 cannot be shared by 8 devices"):
        to_global(batch, make_mesh())


def test_prefetch_keeps_the_order_and_ends():
    with Prefetch(iter(range(20)), lambda i: i * i) as squares:
        assert list(squares) == [i * i for i in range(20)]
        assert next(squares, "end") == "end"
    assert not feeders()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_prefetch_stays_at_most_depth_items_ahead(depth):
    put = []
    with Prefetch(iter(range(50)), put.append, depth=depth) as stream:
        for taken in range(1, 6):
            next(stream)
            for _ in range(100):
                if len(put) == taken + depth:
                    break
                time.sleep(0.01)
            time.sleep(0.02)  # Time to go too far.
            assert len(put) == taken + depth


def test_prefetch_works_while_the_consumer_does():
    def slow():
        for i in range(4):
            time.sleep(0.1)
            yield i

    with Prefetch(slow(), lambda i: i) as stream:
        for _ in stream:
            time.sleep(0.15)
    # Only the first item was waited for, not 4 x 0.1 s.
    assert 0.05 < stream.waited < 0.38


def test_waiting_is_counted():
    def slow():
        for i in range(3):
            time.sleep(0.1)
            yield i

    with Prefetch(slow(), lambda i: i) as stream:
        assert list(stream) == [0, 1, 2]
    assert stream.waited > 0.25


@pytest.mark.parametrize("where", ["iterator", "put"])
def test_an_error_arrives_after_the_items_before_it(where):
    def items():
        yield from (1, 2)
        if where == "iterator":
            raise KeyError("lost")
        yield 3

    def put(item):
        if item == 3:
            raise KeyError("lost")
        return item

    stream = Prefetch(items(), put)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="lost"):
        next(stream)
    assert next(stream, "end") == "end"
    stream.close()
    assert not feeders()


def test_closing_early_closes_the_iterator_and_the_thread():
    closed = []

    def items():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    stream = Prefetch(items(), lambda i: i)
    next(stream)
    stream.close()
    stream.close()
    assert closed == [True]
    assert not feeders()
    assert next(stream, "end") == "end"


def test_a_depth_of_zero_is_refused():
    with pytest.raises(ValueError, match="depth = 0"):
        Prefetch(iter(()), lambda i: i, depth=0)


@pytest.mark.parametrize(("devices", "fsdp"), [(1, 1), (8, 1), (8, 4)])
def test_resident_rows_are_gathered_where_they_are_needed(batch, devices, fsdp, rng):
    mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
    kept = resident(batch, mesh)
    assert all(x.sharding.is_fully_replicated for x in kept.values())
    rows = rng.integers(0, 16, 8)
    where = jax.device_put(rows.astype(np.int32), row_sharding(mesh))
    with jax.set_mesh(mesh):
        compiled = jax.jit(take).lower(kept, where).compile()
        out = compiled(kept, where)
        np.testing.assert_array_equal(take(kept, where)["index"], rows)
    for name, host in batch.items():
        np.testing.assert_array_equal(out[name], host[rows])
        assert out[name].sharding.is_equivalent_to(row_sharding(mesh), host.ndim)
    text = compiled.as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "permute", "scatter"):
        assert collective not in text
    # Each device gathers its own rows alone.
    assert f"u8[{8 // devices},4,4,3]" in text


def test_resident_works_inside_a_scan_of_steps(batch):
    mesh = make_mesh()
    kept = resident(batch, mesh)
    rows = np.arange(32, dtype=np.int32).reshape(2, 16)[:, ::-1] % 16

    def sums(data, rows):
        step = lambda total, r: (total + take(data, r)["index"], None)
        return jax.lax.scan(step, rows[0] * 0, rows)[0]

    with jax.set_mesh(mesh):
        out = jax.jit(sums)(kept, rows)
    np.testing.assert_array_equal(out, rows.sum(0))


def test_resident_refuses_what_does_not_fit(batch):
    class Device:
        def __str__(self):
            return "small:0"

        def memory_stats(self):
            return {"bytes_limit": 1000}

    class Mesh:
        local_devices = (Device(),)

    with pytest.raises(ValueError, match=r"50% of the .* of small:0.*resident=False"):
        resident(batch, Mesh())
