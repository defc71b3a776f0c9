import os
import pathlib
import socket
import subprocess
import sys

import jax

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.checkpoint.manager import open_checkpoints
from tests.checkpoint.states import abstract, assert_same_bits, train_state
from tests.flags import words

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_two_processes_write_what_one_can_read(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": words(devices=2),
    }
    command = [sys.executable, "-m", "tests.checkpoint.two_processes"]
    processes = [
        subprocess.Popen(
            [*command, str(process), port, str(tmp_path)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    expected = jax.jit(train_state)(3)
    with open_checkpoints(tmp_path / "checkpoints", writable=False) as checkpoints:
        assert checkpoints.steps() == [2, 3]
        restored = checkpoints.restore(abstract(expected, 1))
    assert_same_bits(restored, expected)
    assert_same_bits(
        load_encoder(tmp_path / "encoder.npz")[0]["params"]["encoder"],
        expected.params["encoder"],
    )
