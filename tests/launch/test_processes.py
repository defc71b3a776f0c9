"""Several processes on one machine: GPUs, and the rehearsal, which is truly run."""

import os
import re
import signal
import socket
import sys

import pytest

from tests.launch.machine import LAUNCH, TRAIN, read


def test_one_process_drives_all_gpus(machine):
    (call,) = machine.dry_run("gpus.sh", *TRAIN)
    assert call == ["jax-ssl", "train", *TRAIN, "--distributed=off"]
    assert read(call[1:]).distributed == "off"


@pytest.mark.parametrize("script", ["gpus.sh", "local_cpu_processes.sh"])
def test_processes_are_told_of_each_other(machine, script):
    calls = machine.dry_run(script, *TRAIN, PROCESSES="3", PORT="1234")
    options = [read(call[1:]) for call in calls]
    assert sorted(o.process_id for o in options) == [0, 1, 2]
    assert {(o.num_processes, o.coordinator_address) for o in options} == {
        (3, "127.0.0.1:1234")
    }
    assert all(call[: 2 + len(TRAIN)] == ["jax-ssl", "train", *TRAIN] for call in calls)


def test_every_process_has_its_gpu(machine):
    printed = machine.run(
        LAUNCH / "gpus.sh", *TRAIN, PROCESSES="2", GPUS="5,7", DRY_RUN="1"
    )
    gpus = re.findall(r"^CUDA_VISIBLE_DEVICES=(\d+) .*_id=(\d)", printed, re.MULTILINE)
    assert sorted(gpus) == [("5", "0"), ("7", "1")]
    machine.run(LAUNCH / "gpus.sh", *TRAIN, PROCESSES="2", GPUS="5", status=2)


# Says which signals it got, as the real one counts them: a second one may end it.
WAITS = f"""#!{sys.executable} -SE
import signal, sys, time
got = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: got.append(number.real))
print("ready", flush=True)
while not got: time.sleep(0.01)
time.sleep(0.3)
print(sys.argv[-1], got, flush=True)
sys.exit(143)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_reaches_each_process_once(machine, number):
    program = machine.folder / "bin" / "jax-ssl"
    program.write_text(WAITS)
    program.chmod(0o755)
    process = machine.start(
        LAUNCH / "local_cpu_processes.sh", *TRAIN, PROCESSES="3", new_session=True
    )
    assert [process.stdout.readline() for _ in range(3)] == ["ready\n"] * 3
    # To the whole group, as a terminal sends Ctrl-C.
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 143, errors
    got = [f"--process_id={n} [{signal.SIGTERM.real}]" for n in range(3)]
    assert sorted(output.splitlines()) == got


def test_the_first_failure_is_the_status(machine):
    machine.pretend("jax-ssl", "[[ ${*: -1} == *=1 ]] && exit 2 || exit 0")
    machine.run(LAUNCH / "local_cpu_processes.sh", *TRAIN, status=2)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_rehearsal_trains_stops_and_resumes(machine):
    # Seconds of training: jax looks for a signal once a second, and agrees after that.
    steps = 600
    evals = ("online", "knn", "linear", "few_label")
    quick = {
        "encoder.widths": "(4,)",
        "method.hidden_dim": "8",
        "method.output_dim": "4",
        "feed.batch_size": "32",
        "optimizer.learning_rate": "0.01",
        "run.num_epochs": "None",
        "run.num_steps": steps,
        "run.checkpoint_every_epochs": "None",
        "run.log_every_steps": "1",
        "run.report": "False",
        **{f"evals.{name}": "None" for name in evals},
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = machine.folder / "bin" / "jax-ssl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jax_ssl "$@"\n')
    program.chmod(0o755)

    def start():
        return machine.start(
            LAUNCH / "local_cpu_processes.sh",
            "--config=configs/simclr_digits.py",
            f"--workdir={machine.folder / 'run'}",
            *(f"--config.{key}={value}" for key, value in quick.items()),
            PORT=str(port),
            XLA_FLAGS="--xla_backend_optimization_level=1",
            JAX_COMPILATION_CACHE_DIR=os.environ["JAX_COMPILATION_CACHE_DIR"],
        )

    process = start()
    for line in process.stderr:
        if line.startswith("step 3/"):
            process.terminate()
    assert process.wait(timeout=300) == 143
    process = start()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert 3 <= int(re.search(r"resumed at step (\d+)", errors)[1]) < steps
    assert f"step {steps}/{steps} " in errors
