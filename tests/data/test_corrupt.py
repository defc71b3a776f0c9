import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jax_ssl.core.fields import INDEX, Field
from jax_ssl.data.corrupt import Reader, TooManyCorrupt
from jax_ssl.data.order import batches, permutation, sweep
from jax_ssl.data.source import CorruptExamples
from tests.references import order as reference

N = 40


class Broken:
    """N rows of which some cannot be read."""

    name = "broken"

    def __init__(self, bad, num_examples=N):
        self.fields = {"image": Field("image", (1, 1, 1), np.uint8), "index": INDEX}
        self.bad, self.num_examples = set(bad), num_examples
        self.tried = []

    def __len__(self):
        return self.num_examples

    def __getitem__(self, rows):
        self.tried.extend(rows.tolist())
        bad = self.bad & set(rows.tolist())
        if bad:
            raise CorruptExamples({row: f"file{row}.jpg: broken" for row in bad})
        image = rows.astype(np.uint8).reshape(-1, 1, 1, 1)
        return {"image": image, "index": rows.astype(np.int32)}


def expected(seed, step, batch_size, bad):
    steps = N // batch_size
    order = permutation(seed, step // steps, N).tolist()
    first = step % steps * batch_size
    return [reference.replaced(order, first + i, bad) for i in range(batch_size)]


@pytest.mark.parametrize("bad", [{3}, {0, 7, 8, 21, 39}])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_replacements_do_not_depend_on_the_processes(bad, count):
    parts = [
        list(
            batches(
                Broken(bad),
                seed=2,
                batch_size=20,
                stop=5,
                process=process,
                count=count,
                workers=2,
            )
        )
        for process in range(count)
    ]
    for step in range(5):
        rows = np.concatenate([part[step]["index"] for part in parts])
        assert rows.tolist() == expected(2, step, 20, bad)
        pixels = np.concatenate([part[step]["image"] for part in parts])
        assert pixels.ravel().tolist() == rows.tolist()


def test_the_last_place_of_an_order_is_followed_by_its_first():
    order = np.array([4, 2, 0, 1, 3])
    rows = Reader(Broken({1, 3}, 5)).read(order, np.array([2, 3, 4]))["index"]
    assert rows.tolist() == [0, 4, 4]


def test_resuming_gives_the_same_replacements():
    bad = {1, 2, 30}
    straight = list(batches(Broken(bad), seed=0, batch_size=10, stop=8))
    resumed = list(batches(Broken(bad), seed=0, batch_size=10, start=5, stop=8))
    for a, b in zip(straight[5:], resumed, strict=True):
        np.testing.assert_array_equal(a["index"], b["index"])


def test_each_file_is_logged_once_and_not_tried_again(caplog):
    source = Broken({5, 6})
    with caplog.at_level(logging.WARNING):
        list(batches(source, seed=0, batch_size=40, stop=4, workers=1))
    messages = sorted(record.getMessage() for record in caplog.records)
    assert messages == [
        f"broken: left out an example: file{i}.jpg: broken" for i in (5, 6)
    ]
    assert source.tried.count(5) == 1


def test_a_file_met_by_two_threads_at_once_is_logged_once(caplog):
    both = threading.Barrier(2, timeout=10)

    class Met(Broken):
        def __getitem__(self, rows):
            if 5 in rows:
                both.wait()
            return super().__getitem__(rows)

    reader, order = Reader(Met({5})), np.arange(N)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(reader.read, order, np.array([5])) for _ in range(2)]
        assert [read.result()["index"].tolist() for read in reads] == [[6], [6]]
    assert len(caplog.records) == 1


def test_a_sweep_puts_the_next_good_row_in_place_of_a_corrupt_one():
    rows = np.concatenate([b["index"] for b in sweep(Broken({1, 2}), batch_size=16)])
    assert rows.tolist() == [0, 3, 3, *range(3, N)]


def test_too_many_corrupt_files_end_the_run_with_their_names():
    # At most 1 % of 1,000: ten are borne, the eleventh is not.
    list(sweep(Broken(range(10)), batch_size=8))
    with pytest.raises(TooManyCorrupt, match=r"file0\.jpg: broken") as error:
        list(sweep(Broken(range(11)), batch_size=8))
    assert set(error.value.reasons) == set(range(11))


def test_a_stricter_share_refuses_the_first_corrupt_file():
    with pytest.raises(TooManyCorrupt, match=r"1 of the \d+ examples"):
        list(sweep(Broken({9}), batch_size=8, reader=Reader(Broken({9}), 0.0)))


def test_the_share_grows_with_the_rows_seen():
    bad = range(0, 5000, 250)  # 20 of 5,000: 0.4 %.
    for part in sweep(Broken(bad, 5000), batch_size=500, workers=1):
        assert len(part["index"]) == 500


def test_a_source_of_corrupt_files_alone_ends():
    with pytest.raises(TooManyCorrupt, match="4 of the 4"):
        list(sweep(Broken(range(4), 4), batch_size=4))


def test_a_source_that_blames_other_rows_is_not_asked_for_ever():
    class Odd(Broken):
        def __getitem__(self, rows):
            raise CorruptExamples({99: "elsewhere"})

    with pytest.raises(CorruptExamples, match="elsewhere"):
        list(sweep(Odd(()), batch_size=4))


def test_reading_is_timed_by_the_example():
    class Slow(Broken):
        def __getitem__(self, rows):
            time.sleep(0.002 * len(rows))
            return super().__getitem__(rows)

    reader = Reader(Slow({3}))
    assert reader.read_ms() is None
    reader.read(np.arange(N), np.arange(8))
    assert reader.decoded == 8
    # What failed took time too, but made no example; only the second try counts.
    assert 2 <= reader.read_ms() < 20
