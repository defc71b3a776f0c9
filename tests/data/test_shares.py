"""Batches of which a fixed share is labelled: their rows, resumed, and on processes."""

import dataclasses

import numpy as np
import pytest

from jax_ssl.data.arrays import arrays
from jax_ssl.data.few import partly_labelled
from jax_ssl.data.order import Share, batches, rows_of_step, steps_per_epoch
from tests.references import order as reference

N, KNOWN, B, L = 53, 7, 10, 4
SHARE = Share(L, KNOWN)


@pytest.fixture(scope="module")
def source():
    images = np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2, 1)
    made = arrays({"image": images, "label": np.arange(N) % 7})
    return partly_labelled(made, 1, seed=5)


def rows(step, seed=9):
    return rows_of_step(seed, step, B, N, SHARE)


def test_rows_of_a_step_are_the_reference():
    for step in (0, 1, 6, 7, 8, 20):
        wanted = reference.mixed_rows_of_step(9, step, B, N, L, KNOWN)
        assert rows(step).tolist() == wanted
    whole = rows_of_step(0, 3, B, N, Share(7, 7)).tolist()
    assert whole == reference.mixed_rows_of_step(0, 3, B, N, 7, 7)
    assert not np.array_equal(rows(0), rows(0, seed=8))


def test_an_epoch_holds_each_unlabelled_row_once_and_labelled_rows_take_turns():
    steps = steps_per_epoch(B, N, SHARE)
    assert steps == (N - KNOWN) // (B - L)
    seen = np.concatenate([rows(step) for step in range(steps)])
    others = seen[seen >= KNOWN]
    assert len(set(others)) == len(others) == steps * (B - L)
    counts = np.bincount(seen[seen < KNOWN], minlength=KNOWN)
    assert counts.sum() == steps * L
    assert counts.max() - counts.min() <= 1
    again = np.concatenate([rows(step) for step in range(steps, 2 * steps)])
    assert not np.array_equal(seen, again)


@pytest.mark.parametrize(
    ("size", "known", "devices"), [(16, 8, 8), (16, 6, 4), (64, 24, 8)]
)
def test_every_device_gets_its_share_of_both_kinds(size, known, devices):
    found = rows_of_step(1, 5, size, 200, Share(known, 30)) < 30
    counts = found.reshape(devices, -1).sum(1)
    assert counts.sum() == known
    assert counts.max() - counts.min() <= (known % devices > 0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_processes_read_slices_of_one_global_list(source, count):
    settings = {"seed": 1, "batch_size": B, "start": 1, "stop": 9, "share": SHARE}
    parts = [
        list(batches(source, process=process, count=count, **settings))
        for process in range(count)
    ]
    for i, step in enumerate(range(1, 9)):
        joined = {
            n: np.concatenate([p[i][n] for p in parts]) for n in ("index", "label")
        }
        wanted = reference.mixed_rows_of_step(1, step, B, N, L, KNOWN)
        assert joined["index"].tolist() == wanted
        labelled = joined["index"] < KNOWN
        assert labelled.sum() == L
        assert np.array_equal(joined["label"] >= 0, labelled)


def test_a_run_continues_where_it_stopped(source):
    settings = {"seed": 3, "batch_size": B, "stop": 12, "share": SHARE}
    straight = list(batches(source, **settings))
    resumed = list(batches(source, start=8, **settings))
    for a, b in zip(straight[8:], resumed, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_no_label_of_an_unlabelled_row_changes_a_batch(source):
    """Other labels of all rows whose label is hidden, and the same batches."""
    inner = source.source
    labels = np.arange(N) % 7
    hidden = np.setdiff1d(np.arange(N), source.rows[: source.num_labelled])
    labels[hidden] = (labels[hidden] + 3) % 7
    other = arrays({"image": inner.arrays["image"], "label": labels})
    other = dataclasses.replace(source, source=other)
    settings = {"seed": 0, "batch_size": B, "stop": 9, "share": SHARE}
    for a, b in zip(
        batches(source, **settings), batches(other, **settings), strict=True
    ):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_shares_that_do_not_fit_are_refused():
    for share in (Share(8, 7), Share(4, 48)):
        said = (
            rf"feed.labelled = {share.rows} of feed.batch_size = 10 .* {share.examples}"
        )
        with pytest.raises(ValueError, match=said):
            steps_per_epoch(B, N, share)
