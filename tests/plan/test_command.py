"""`jax-ssl plan` as a user types it."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from jax_ssl.cli import main
from tests.plan.test_planner import PAGE, TINY

CHANGES = [f"--config.{change}" for change in TINY]
SCHEMA = {
    "command": str,
    "fits": bool,
    "topology": str,
    "chip": str | None,
    "devices": int,
    "data": dict,
    "batch_size": int,
    "chunks": int,
    "parameters": int,
    "bytes_per_device": dict,
    "compiled": bool,
    "flops_per_step": float,
    "memory_bytes_per_step": float | None,
    "collectives": list,
    "largest_temporaries": list,
    "loops_of_unknown_length": int,
    "roofline": dict | None,
    "num_steps": int,
    "epochs": float,
    "compile_seconds": float,
    "config": dict,
    "versions": dict,
}


@pytest.mark.slow
def test_the_command_alone_makes_its_devices(tmp_path):
    """In a process of its own: JAX must not have started when it counts its CPUs."""
    output = tmp_path / "deep" / "digits.json"
    arguments = ["--topology=cpu:8", f"--output={output}", *CHANGES]
    root = pathlib.Path(__file__).parent.parent.parent
    flags = os.environ["XLA_FLAGS"].split()
    flags = [flag for flag in flags if "device_count" not in flag]
    done = subprocess.run(
        [sys.executable, "-m", "jax_ssl", "plan", f"--config={PAGE}", *arguments],
        env={**os.environ, "XLA_FLAGS": " ".join(flags)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(output.read_text())
    for key, kind in SCHEMA.items():
        assert isinstance(values[key], kind), key
    assert set(values) == set(SCHEMA)
    assert values["devices"] == 8
    assert values["bytes_per_device"]["capacity"] is None
    text = output.with_suffix(".txt").read_text()
    assert text.startswith("$ python -m jax_ssl plan --config=")
    assert done.stdout in text
    assert "temporaries" in done.stdout


def test_a_step_that_does_not_fit_is_an_exit_status(capsys):
    arguments = ["plan", f"--config={PAGE}", "--topology=cpu:8", *CHANGES]
    assert main([*arguments, "--memory_gb=0.00001"]) == 1
    assert "DOES NOT FIT" in capsys.readouterr().out


@pytest.mark.parametrize("topology", ["v5e:4", "gpu:8"])
def test_an_unknown_slice_is_refused(topology, capsys):
    assert main(["plan", f"--config={PAGE}", f"--topology={topology}"]) == 2
    assert "is not a slice" in capsys.readouterr().err
