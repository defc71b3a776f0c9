import threading
import zlib

import numpy as np
import pytest

from jax_ssl.data.arrays import arrays
from jax_ssl.data.order import (
    batches,
    permutation,
    rows_of_step,
    steps_per_epoch,
    sweep,
)
from tests.references import order as reference

N = 53


@pytest.fixture(scope="module")
def source():
    images = np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2, 1)
    return arrays({"image": images, "label": np.arange(N) % 7})


class Failing:
    """A source whose rows from `first_bad` on raise something unforeseen."""

    def __init__(self, source, first_bad):
        self.source, self.first_bad = source, first_bad
        self.name, self.fields = "failing", source.fields

    def __len__(self):
        return len(self.source)

    def __getitem__(self, rows):
        if (rows >= self.first_bad).any():
            raise RuntimeError("the disk is gone")
        return self.source[rows]


def decoders():
    return [t for t in threading.enumerate() if t.name.startswith("jax_ssl-decode")]


def test_philox_reference_gives_the_published_known_answers():
    # Random123's kat_vectors, philox4x64-10: zeros, and all bits set.
    assert reference.philox_block((0, 0, 0, 0), (0, 0)) == (
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    )
    ones = reference.WORD - 1
    assert reference.philox_block((ones,) * 4, (ones,) * 2) == (
        0x87B092C3013FE90B,
        0x438C3C67BE8D0224,
        0x9CC7D7C69CD777B6,
        0xA09CAEBF594F0BA0,
    )


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (1, 0), (0, 1), (-3, 7)])
def test_permutation_is_the_reference(seed, epoch):
    assert permutation(seed, epoch, N).tolist() == reference.permutation(seed, epoch, N)


def test_permutation_has_a_recorded_checksum():
    # The same in every version of Python and NumPy, or resumed runs would differ.
    rows = permutation(17, 3, 50_000).astype("<i8")
    assert zlib.crc32(rows.tobytes()) == 1289176713


def test_rows_of_a_step_are_the_reference():
    for step in (0, 4, 5, 12):
        got = rows_of_step(9, step, 10, N)
        assert got.tolist() == reference.rows_of_step(9, step, 10, N)


def test_an_epoch_holds_distinct_rows_and_drops_the_remainder():
    epochs = [
        np.concatenate([rows_of_step(0, 5 * e + s, 10, N) for s in range(5)])
        for e in range(40)
    ]
    assert all(len(np.unique(rows)) == 50 for rows in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    # Other rows are dropped in each epoch: all are seen in the long run.
    assert len(np.unique(np.concatenate(epochs[:4]))) == N


def test_all_places_are_equally_likely():
    # 4,000 epochs of 6 rows; each cell of the 6 x 6 table is binomial, sd 23.6.
    orders = np.stack([permutation(5, epoch, 6) for epoch in range(4000)])
    table = np.stack([(orders == row).sum(0) for row in range(6)])
    assert abs(table - 4000 / 6).max() < 5 * 23.6


def test_steps_per_epoch_and_its_errors():
    assert steps_per_epoch(10, 53) == 5
    assert steps_per_epoch(53, 53) == 1
    with pytest.raises(ValueError, match=r"batch_size = 54 .* 53 examples"):
        steps_per_epoch(54, 53)
    with pytest.raises(ValueError, match=r"batch_size = 0"):
        steps_per_epoch(0, 53)
    with pytest.raises(ValueError, match="step = -1"):
        rows_of_step(0, -1, 10, N)


def test_the_permutation_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        permutation(0, 0, 5)[0] = 1


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_processes_read_slices_of_one_global_list(source, count, workers):
    parts = [
        list(
            batches(
                source,
                seed=1,
                batch_size=20,
                start=1,
                stop=6,
                process=process,
                count=count,
                workers=workers,
            )
        )
        for process in range(count)
    ]
    for i, step in enumerate(range(1, 6)):
        rows = np.concatenate([part[i]["index"] for part in parts])
        assert rows.tolist() == reference.rows_of_step(1, step, 20, N)
        images = np.concatenate([part[i]["image"] for part in parts])
        np.testing.assert_array_equal(images, source.arrays["image"][rows])
        assert all(part[i]["image"].shape == (20 // count, 2, 2, 1) for part in parts)


def test_a_run_continues_where_it_stopped(source):
    straight = list(batches(source, seed=3, batch_size=25, stop=6))
    resumed = list(batches(source, seed=3, batch_size=25, start=4, stop=6))
    for a, b in zip(straight[4:], resumed, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_batches_without_end_go_on_over_epochs(source):
    endless = batches(source, seed=0, batch_size=50)
    rows = [next(endless)["index"] for _ in range(4)]
    endless.close()
    assert rows[3].tolist() == reference.rows_of_step(0, 3, 50, N)


def test_wrong_shares_are_refused_before_reading(source):
    with pytest.raises(ValueError, match=r"process 0 of 3 .*batch_size = 20"):
        batches(source, seed=0, batch_size=20, count=3)
    with pytest.raises(ValueError, match="process 2 of 2"):
        batches(source, seed=0, batch_size=20, process=2, count=2)
    with pytest.raises(ValueError, match="54 does not fit"):
        batches(source, seed=0, batch_size=54)


def test_closing_ends_the_threads(source):
    stream = batches(source, seed=0, batch_size=10)
    next(stream)
    assert decoders()
    stream.close()
    assert not decoders()


def test_an_error_reaches_the_consumer_and_ends_the_threads(source):
    # Row order of a sweep is known: batches 0 to 3 are whole, the fifth is not.
    stream = sweep(Failing(source, 45), batch_size=10, workers=2)
    for _ in range(4):
        next(stream)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(stream)
    assert not decoders()


def test_decoding_stays_a_bounded_number_of_batches_ahead(source):
    asked = []

    class Watched(Failing):
        def __getitem__(self, rows):
            asked.extend(rows.tolist())
            return super().__getitem__(rows)

    stream = batches(Watched(source, N), seed=0, batch_size=10, workers=1)
    next(stream)
    stream.close()
    assert 10 <= len(asked) <= 40


def test_sweep_reads_every_row_once_in_order(source):
    parts = list(sweep(source, batch_size=20))
    assert [len(part["index"]) for part in parts] == [20, 20, 13]
    rows = np.concatenate([part["index"] for part in parts])
    np.testing.assert_array_equal(rows, np.arange(N))
