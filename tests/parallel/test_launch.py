"""Flags and environments, and the launch that they describe."""

import argparse
import os

import pytest
from jax._src import clusters

from jax_ssl.cli import main
from jax_ssl.parallel.launch import Launch, described

ALL_THREE = {
    "JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "2",
}
SLURM = {
    "SLURM_JOB_ID": "5000",
    "SLURM_STEP_NODELIST": "node[007-009,12],other3",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_TASKS_PER_NODE": "2(x4)",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}
OPEN_MPI_5 = {name: value for name, value in OPEN_MPI.items() if "orte" not in name}
# jax's rule: the job's number modulo 4096, above 61440; Open MPI's is one of 4096.
SLURM_NODE, MPI_HOST = "node007:62344", "10.96.0.1:62624"


@pytest.fixture
def describe(monkeypatch):
    """`described` in no environment but the one that is given."""
    ours = ("SLURM_", "OMPI_", "TPU_", "MEGASCALE_", "KUBERNETES_", "CUDA_", "JAX_")
    for name in os.environ:
        if name.startswith(ours):
            monkeypatch.delenv(name)

    def run(environ, **options):
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            options = {"distributed": "auto", "peer_timeout": 100.0, **options}
            return described(argparse.Namespace(**options))

    return run


@pytest.fixture
def detection(monkeypatch):
    """Puts a function in the place of jax's detection."""

    def pretend(function):
        name = "auto_detect_unset_distributed_params"
        monkeypatch.setattr(clusters.ClusterEnv, name, function)

    return pretend


@pytest.mark.parametrize(
    ("environ", "launch"),
    [
        (ALL_THREE, ("10.0.0.1:1234", 4, 2)),
        (SLURM, (SLURM_NODE, 8, 5, [1])),
        ({**SLURM, "JAX_COORDINATOR_PORT": "99"}, ("node007:99", 8, 5, [1])),
        # One task a node has all of its devices; so has one that sees but one.
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1(x8)"}, (SLURM_NODE, 8, 5)),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1,2(x3)"}, (SLURM_NODE, 8, 5, [1])),
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "1"}, (SLURM_NODE, 8, 5)),
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "2,3"}, (SLURM_NODE, 8, 5, [1])),
        (OPEN_MPI, (MPI_HOST, 4, 3)),
        # mpirun's helpers run as a step of Slurm, of one task a node.
        ({**SLURM, "SLURM_STEP_NUM_TASKS": "1", **OPEN_MPI}, (MPI_HOST, 4, 3)),
        (
            {**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "4"},
            (MPI_HOST, 4, 3, [0]),
        ),
        ({**SLURM, "JAX_COORDINATOR_ADDRESS": "b:2"}, ("b:2", 8, 5, [1])),
        ({**OPEN_MPI_5, "JAX_COORDINATOR_ADDRESS": "b:2"}, ("b:2", 4, 3)),
    ],
)
def test_the_launch_is_read_from_the_environment(describe, environ, launch):
    assert describe(environ) == Launch(*launch)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"JAX_NUM_PROCESSES": "1"},
        {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"},
        # An interactive step of a job of eight tasks.
        {**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        # The shell of a batch job is no step of it.
        {k: v for k, v in SLURM.items() if "STEP" not in k},
        {**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
    ],
)
def test_a_process_alone_is_alone(describe, environ):
    assert describe(environ) is None


def test_a_launcher_that_only_jax_knows_is_asked(describe, detection):
    detection(lambda *given: ("host-0:8482", 4, 1, None))
    assert describe({}) == Launch("host-0:8482", 4, 1)
    assert describe({}, process_id=3) == Launch("host-0:8482", 4, 3)
    detection(lambda *given: ("localhost:8482", 1, 0, None))
    assert describe({}) is None


def test_a_launcher_that_jax_cannot_read_is_refused(describe, detection):
    def fails(*given):
        raise RuntimeError("no permission")

    detection(fails)
    with pytest.raises(ValueError, match=r"no permission.*Give --coordinator.*=off"):
        describe({})
    # These need not ask.
    assert describe(ALL_THREE) == Launch("10.0.0.1:1234", 4, 2)
    assert describe({}, num_processes=1) is None
    assert describe({}, distributed="off") is None


def test_flags_stand_above_variables(describe):
    flags = {"coordinator_address": "a:1", "num_processes": 9, "process_id": 8}
    assert describe(ALL_THREE, **flags) == Launch("a:1", 9, 8)
    assert describe(SLURM, process_id=0, num_processes=9).index == 0


@pytest.mark.parametrize(
    ("environ", "flags", "message"),
    [
        ({}, {"num_processes": 2}, "--coordinator_address or JAX_COORDINATOR_ADDRESS"),
        ({}, {"coordinator_address": "a:1"}, "--num_processes or JAX_NUM_PROCESSES"),
        # In the words of jax, if it knows Open MPI 5.
        (OPEN_MPI_5, {}, "(= 4.*missing: |mpi4py.*Give )--coordinator_address"),
        ({**ALL_THREE, "JAX_PROCESS_ID": "4"}, {}, "JAX_PROCESS_ID = 4 is not one of"),
        (ALL_THREE, {"process_id": -1}, "--process_id = -1 is not one of the 4"),
        ({**ALL_THREE, "JAX_PROCESS_ID": "two"}, {}, "JAX_PROCESS_ID = 'two' is not a"),
        (ALL_THREE, {"coordinator_address": "host"}, "--coordinator_address = 'host'"),
        (
            {**SLURM, "JAX_NUM_PROCESSES": "4"},
            {},
            "JAX_NUM_PROCESSES = 4 contradicts SLURM_STEP_NUM_TASKS = 8",
        ),
    ],
)
def test_what_is_missing_or_contradictory_is_named(describe, environ, flags, message):
    with pytest.raises(ValueError, match=message):
        describe(environ, **flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num_processes=2"], "missing: --coordinator_address"),
        (["--distributed=off", "--process_id=1"], "off contradicts --process_id"),
        (["--peer_timeout=0.5"], "--peer_timeout=0.5 is less than a second"),
    ],
)
def test_flags_that_do_not_fit_are_refused(tmp_path, capsys, flags, message):
    words = ["train", "--config=none.py", f"--workdir={tmp_path}", *flags]
    assert main(words) == 2
    assert message in capsys.readouterr().err
