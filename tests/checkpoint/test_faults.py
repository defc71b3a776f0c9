"""Checkpoints when things go wrong: damage, full disks, donation, kills."""

import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.checkpoint.leaves import _sum_of_words, digest, owned
from jax_ssl.checkpoint.manager import _first_line, open_checkpoints
from jax_ssl.cli import _said
from jax_ssl.core.state import TrainState
from tests.checkpoint.states import (
    assert_same_bits,
    put,
    train_state,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]


# Reads given up half-way wake an event loop of orbax's that is closed by then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("victim", ["train/_METADATA", "host/metadata", "data"])
def test_damage_names_the_folder_to_delete(tmp_path, victim):
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(train_state(1))
        checkpoints.save(train_state(2))
    if victim == "data":
        files = [p for p in (tmp_path / "2/train").rglob("d/*") if p.is_file()]
        assert files
        for file in files:
            content = file.read_bytes()
            file.write_bytes(content[: len(content) // 2])
    else:
        (tmp_path / "2" / victim).write_text("{")
    with open_checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=r"step 2 in .* is damaged") as caught:
            checkpoints.restore(train_state(), 2)
        assert f"delete the folder {tmp_path / '2'}" in str(caught.value)
        assert_same_bits(checkpoints.restore(train_state(), 1), train_state(1))


def flip_a_bit(folder):
    """Flips one bit in the middle of the largest file of array data."""
    files = [p for p in folder.rglob("d/*") if p.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)


@pytest.mark.parametrize("harm", ["flip", "host/metadata", "train/_METADATA"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, harm):
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(big_state(1))
        checkpoints.save(big_state(2))
    if harm == "flip":
        flip_a_bit(tmp_path / "2")
    else:
        (tmp_path / "2" / harm).write_text("{")
    with open_checkpoints(tmp_path, writable=False) as checkpoints:
        assert_same_bits(checkpoints.restore(big_state(0)), big_state(1))
        assert checkpoints.steps() == [1, 2]
    with open_checkpoints(tmp_path) as checkpoints:
        assert_same_bits(checkpoints.restore(big_state(0)), big_state(1))
        assert checkpoints.steps() == [1]
        # It may be sound after all, where the disk did not answer.
        assert (tmp_path / "2.damaged" / "train").is_dir()
        assert checkpoints.save(big_state(2))
        assert_same_bits(checkpoints.restore(big_state(0)), big_state(2))
    assert "step 2 in" in caplog.text
    assert "Going on from step 1" in caplog.text


def test_without_a_sound_checkpoint_the_folder_to_delete_is_named(tmp_path):
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(big_state(1))
    flip_a_bit(tmp_path / "1")
    with open_checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match="damaged") as caught:
            checkpoints.restore(big_state(0))
        assert str(tmp_path / "1") in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int32", "uint8"])
def test_a_digest_is_that_of_words_times_odd_places(rng, dtype):
    x = jnp.asarray(rng.integers(0, 2, (3, 5, 8)) * 3.0, dtype)
    words = np.asarray(x).view(f"u{x.dtype.itemsize}").ravel().tolist()
    expected = sum(w * (2 * i + 1) for i, w in enumerate(words)) % 2**32
    assert digest(x) == expected
    assert int(_sum_of_words(x)) == expected


def test_a_failed_save_is_told_and_costs_only_itself(tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(big_state(1))
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # As a full disk.
        try:
            checkpoints.save(big_state(2))
            with pytest.raises(RuntimeError, match=f"saving .*{tmp_path} failed"):
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1]
        assert_same_bits(checkpoints.restore(big_state(0)), big_state(1))


def big_state(step, size=1 << 22):
    values = np.random.default_rng(step).random(size, np.float32)
    return TrainState(
        step=jnp.int32(step),
        params={"w": jnp.asarray(values)},
        opt_state=(),
        state=(),
        key=jax.random.key(0),
    )


@pytest.mark.parametrize("devices", [1, 8])
def test_the_next_step_may_donate_what_is_being_saved(tmp_path, devices):
    overwrite = jax.jit(
        lambda train: train.replace(
            step=train.step + 1, params=jax.tree.map(lambda w: -w, train.params)
        ),
        donate_argnums=0,
    )
    with open_checkpoints(tmp_path) as checkpoints:
        train = put(big_state(1), devices)
        checkpoints.save(train)
        for _ in range(4):
            train = overwrite(train)
        jax.block_until_ready(train)
        checkpoints.wait()
        restored = checkpoints.restore(big_state(0, 1 << 22))
    assert_same_bits(restored, big_state(1))


def test_what_is_saved_shares_no_memory_with_the_run():
    leaf = put(big_state(1), 8).params["w"]
    kept = owned(leaf)
    for a, b in zip(leaf.addressable_shards, kept.addressable_shards, strict=True):
        assert a.data.unsafe_buffer_pointer() != b.data.unsafe_buffer_pointer()


CHILD = """
import sys
from jax_ssl.checkpoint.manager import open_checkpoints
from tests.checkpoint.test_faults import big_state
with open_checkpoints(sys.argv[1], keep=2) as checkpoints:
    for step in range(1, 1000):
        checkpoints.save(big_state(step), {"step": step})
"""


def test_a_kill_while_saving_costs_only_that_checkpoint(tmp_path):
    folder = tmp_path / "checkpoints"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + 120
        while not (done(folder) and unfinished(folder)):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert unfinished(folder), "the kill came too late to convict"
    complete = done(folder)
    with open_checkpoints(folder, keep=2) as checkpoints:
        assert checkpoints.steps() == complete
        for step in complete:
            assert checkpoints.host(step) == {"step": step}
            restored = checkpoints.restore(jax.eval_shape(lambda: big_state(0)), step)
            assert_same_bits(restored, big_state(step))
        checkpoints.save(big_state(1000))
    assert not unfinished(folder)
    assert done(folder)[-1] == 1000


def done(folder):
    names = os.listdir(folder) if folder.exists() else ()
    return sorted(int(name) for name in names if name.isdigit())


def unfinished(folder):
    return [name for name in os.listdir(folder) if "tmp" in name]


def test_what_the_system_said_of_a_write_is_all_that_is_said_of_it():
    told = (
        'RESOURCE_EXHAUSTED: Error writing "step/0" in OCDBT database at local file '
        '"/a/b/": Failed writing: "/a/b/d" [os_error_code=\'28\']\nmore'
    )
    assert _first_line(ValueError(told)) == "No space left on device"
    assert _first_line(OSError(28, "No space left on device")).endswith("on device")


def test_only_the_echo_of_a_failed_write_is_dropped(monkeypatch):
    said = []
    monkeypatch.setattr(sys, "__unraisablehook__", said.append)
    problems = [
        types.SimpleNamespace(exc_value=RuntimeError(text))
        for text in ("Event loop is closed", "something else")
    ]
    for problem in problems:
        _said(problem)
    assert said == problems[1:]
