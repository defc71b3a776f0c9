import numpy as np
import pytest

from jax_ssl.data import cache
from jax_ssl.data.arrays import arrays
from jax_ssl.data.cache import cached, load
from jax_ssl.data.source import CorruptExamples


class Counting:
    """A source that counts how often each row is decoded."""

    name = "counting"

    def __init__(self, bad=()):
        images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1)
        self.inner = arrays(
            {"image": images, "label": np.arange(10) % 2}, label_names=("a", "b")
        )
        self.fields, self.bad = self.inner.fields, set(bad)
        self.count = np.zeros(10, int)

    def __len__(self):
        return 10

    def __getitem__(self, rows):
        np.add.at(self.count, rows, 1)
        if self.bad & set(rows.tolist()):
            raise CorruptExamples({r: f"{r}: bad" for r in self.bad & set(rows)})
        return self.inner[rows]


def test_rows_are_decoded_once_and_never_up_front():
    source = Counting()
    kept = cached(source, 1.0)
    assert not source.count.any()
    for rows in ([3, 1, 3], [1, 2], [9, 3]):
        got, want = kept[np.array(rows)], source.inner[np.array(rows)]
        assert set(got) == set(want)
        for name in want:
            np.testing.assert_array_equal(got[name], want[name])
            assert got[name].dtype == want[name].dtype
    assert source.count.tolist() == [0, 1, 1, 1, 0, 0, 0, 0, 0, 1]
    assert kept.fields == source.fields


def test_a_part_of_the_fields_has_a_memory_of_its_own():
    kept = cached(Counting().inner, 1.0)
    part = kept.keep(["label"])
    assert set(part[np.array([3])]) == {"label", "index"} == set(part.fields)
    assert set(kept[np.array([3])]) == {"image", "label", "index"}


def test_what_is_kept_cannot_be_changed_through_a_batch():
    kept = cached(Counting(), 1.0)
    kept[np.array([3])]["image"][:] = 99
    assert (kept[np.array([3])]["image"] != 99).all()


def test_corrupt_rows_stay_unknown():
    kept = cached(Counting(bad={4}), 1.0)
    for _ in range(2):
        with pytest.raises(CorruptExamples):
            kept[np.array([3, 4])]
    assert kept[np.array([3])]["index"].tolist() == [3]


def test_load_is_the_whole_set_in_order():
    whole = load(Counting())
    np.testing.assert_array_equal(whole["image"].ravel(), np.arange(40))
    replaced = load(Counting(bad={4}))["index"]
    assert replaced.tolist() == [0, 1, 2, 3, 5, 5, 6, 7, 8, 9]


def test_too_large_a_cache_is_refused(monkeypatch):
    monkeypatch.setattr(cache, "_machine_bytes", lambda: 200)
    with pytest.raises(ValueError, match="50% of the machine"):
        cached(Counting(), 1.0)  # Needs 120 bytes.
    monkeypatch.setattr(cache, "_machine_bytes", lambda: None)
    cached(Counting(), 1.0)


def test_small_sets_are_cached_and_large_ones_are_not():
    source = Counting()
    assert cached(source, 0.0) is source
    assert cached(source, 1.0) is not source
