"""Several processes on this host, and what they say, for the tests of this folder."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from tests import flags

ROOT = pathlib.Path(__file__).resolve().parents[2]
# "[Gloo] Rank 0 is connected to 1 peer ranks. Expected number of connected peer ..."
GLOO = {"Gloo", "Rank", "is", "connected", "to", "peer", "ranks"}
GLOO |= {"Expected", "number", "of"}


def by_variables(port, count, index):
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(index),
    }


def by_slurm(port, count, index):
    """What srun leaves to the tasks of a step on one node."""
    return {
        "JAX_COORDINATOR_PORT": str(port),
        "SLURM_JOB_ID": "5000",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_STEP_TASKS_PER_NODE": str(count),
        "SLURM_NTASKS": str(count),
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }


def by_open_mpi(port, count, index):
    """What mpirun of Open MPI 4 leaves to its ranks on one host."""
    return {
        "JAX_COORDINATOR_PORT": str(port),
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": str(count),
        "OMPI_COMM_WORLD_RANK": str(index),
        "OMPI_COMM_WORLD_LOCAL_SIZE": str(count),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
    }


class Group:
    """Processes that are killed, with their children, at the end of the block.

    `words` are the command's arguments, or a function from a process's number to them;
    `launcher` leaves in the environment of each what makes it one of several.
    """

    def __init__(
        self, module, count, devices, words=(), environ=(), launcher=by_variables
    ):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environ = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": flags.words(devices),
            **dict(environ),
        }
        command = [sys.executable, "-m", module]
        self.processes = [
            subprocess.Popen(
                [*command, *(words(index) if callable(words) else words)],
                cwd=ROOT,
                env={**environ, **launcher(port, count, index)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            for index in range(count)
        ]
        self.lines = [[] for _ in self.processes]
        self.heard = threading.Condition()
        self.readers = [
            threading.Thread(target=self._read, args=(process, lines), daemon=True)
            for process, lines in zip(self.processes, self.lines, strict=True)
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, process, lines):
        for line in process.stdout:
            with self.heard:
                lines.append(line)
                self.heard.notify_all()
        with self.heard:
            self.heard.notify_all()

    def wait_for(self, text, index=0, timeout=300):
        """Blocks until process `index` has said a line with `text` in it."""

        def said():
            return text in self.said(index) or not self.readers[index].is_alive()

        with self.heard:
            self.heard.wait_for(said, timeout)
        assert text in self.said(index), self.said(index)

    def said(self, index):
        return "".join(self.lines[index])

    def lines_of_ours(self, index):
        """Those with a word that is not of Gloo's, whose threads mix up their lines."""
        lines = self.said(index).splitlines()
        return [line for line in lines if {*re.findall("[A-Za-z]+", line)} - GLOO]

    def codes(self, timeout=300):
        """Exit codes of all, once they have ended."""
        end = time.monotonic() + timeout
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
                continue
            said = map(self.said, range(len(self.processes)))
            raise AssertionError(f"not ended in {timeout} s:\n" + "\n".join(said))
        for reader in self.readers:
            reader.join(timeout)
        return [process.returncode for process in self.processes]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
