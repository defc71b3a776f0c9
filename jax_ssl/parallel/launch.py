"""Which processes make up a run: what flags, environment and launcher say together.

The launcher is read by jax, whose detection is private: the public way to it,
`jax.distributed.initialize`, connects in the same call, so that a process that is alone
would wait, and a port that is taken could crash it before anything is said.
"""

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FLAGS = ("coordinator_address", "num_processes", "process_id")
OURS = {name: f"JAX_{name.upper()}" for name in FLAGS}
# Read before jax is asked, which counts by SLURM_NTASKS, in an interactive step the
# tasks of the whole job, and which knows Open MPI 5 since jax 0.12 only. A later
# variable stands above an earlier one: what mpirun starts may lie in a step of Slurm.
LAUNCHERS = (
    ("num_processes", "SLURM_STEP_NUM_TASKS"),
    ("num_processes", "OMPI_COMM_WORLD_SIZE"),
    ("process_id", "OMPI_COMM_WORLD_RANK"),
)
DETECTION_TIMEOUT = 300  # Seconds in which the first host must have a name.

Found = dict[str, tuple[Any, str]]  # Flag: its value, and who said so.


@dataclass(frozen=True)
class Launch:
    """One process among those of a run.

    Attributes:
        coordinator: HOST:PORT at which process 0 listens.
        count: processes of the run, at least 2.
        index: the number of this process, from 0.
        devices: of its host, that this process takes; None takes all that it sees.
    """

    coordinator: str
    count: int
    index: int
    devices: list[int] | None = None


def described(options: argparse.Namespace) -> Launch | None:
    """The launch that flags, environment and launcher describe; None for one alone.

    A value is taken from its flag, else from its variable JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES or JAX_PROCESS_ID, else from the launcher.

    Args:
        options: as `processes.join` takes them.

    Raises:
        ValueError: naming what is missing, contradictory or malformed, and its remedy.
    """
    values = {name: getattr(options, name, None) for name in FLAGS}
    flags = {n: (value, f"--{n}") for n, value in values.items() if value is not None}
    if getattr(options, "distributed", "off") == "off":
        if flags:
            given = " and ".join(f"--{name}" for name in flags)
            raise ValueError(f"--distributed=off contradicts {given}.")
        return None
    if options.peer_timeout < 1:
        raise ValueError(
            f"--peer_timeout={options.peer_timeout:g} is less than a second; a busy "
            "host may be silent for longer."
        )
    ours, launchers = _read(OURS.items()), _read(LAUNCHERS)
    for name in (ours.keys() & launchers.keys()) - flags.keys():
        (value, variable), (other, who) = ours[name], launchers[name]
        if value != other:
            raise ValueError(
                f"{variable} = {value} contradicts {who} = {other}; unset the former, "
                f"or say which by --{name}."
            )
    found = launchers | ours | flags
    if len(found) < len(FLAGS) and not _is_alone(found):
        found = _completed(found)
    if not found or _is_alone(found):
        return None
    if missing := [f"--{n} or {OURS[n]}" for n in FLAGS if n not in found]:
        raise ValueError(
            "several processes are described in part: "
            + ", ".join(f"{who} = {value}" for value, who in found.values())
            + f"; missing: {', '.join(missing)}. Give all three, or --distributed=off "
            "to run this process alone."
        )
    (address, named_by), (count, counted_by), (index, by) = (found[n] for n in FLAGS)
    if not 0 <= index < count:
        raise ValueError(
            f"{by} = {index} is not one of the {count} processes of {counted_by}; they "
            f"are numbered from 0 to {count - 1}."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(
            f"{named_by} = {address!r} is not of the form HOST:PORT, such as "
            "10.0.0.1:1234."
        )
    return Launch(address, count, index, _devices())


def _read(variables: Iterable[tuple[str, str]]) -> Found:
    """What the variables say that are set; pairs of a flag and its variable."""
    found: Found = {}
    for name, variable in variables:
        if text := os.environ.get(variable):
            try:
                value = text if name == "coordinator_address" else int(text)
            except ValueError:
                raise ValueError(f"{variable} = {text!r} is not a number.") from None
            found[name] = (value, variable)
    return found


def _is_alone(found: Found) -> bool:
    count, index = (found.get(name, (0, ""))[0] for name in FLAGS[1:])
    return count == 1 and index == 0


def _completed(found: Found) -> Found:
    """The same with what jax reads of the launcher, for each flag not found."""
    address, count, index = (found.get(name, (None, ""))[0] for name in FLAGS)
    try:
        from jax._src import clusters

        told = clusters.ClusterEnv.auto_detect_unset_distributed_params(
            address, count, index, [], None, DETECTION_TIMEOUT
        )
    except Exception as error:
        missing = " and ".join(f"--{name}" for name in FLAGS if name not in found)
        raise ValueError(
            "jax cannot read the launcher of this process "
            f"({type(error).__name__}: {error}). Give {missing}, or --distributed=off "
            "to run this process alone."
        ) from error
    pairs = zip(FLAGS, told, strict=False)  # `told` ends with devices.
    return {n: (v, "the launcher") for n, v in pairs if v is not None} | found


def _devices() -> list[int] | None:
    """The device that this process takes of its host's; None for all that it sees.

    Where Slurm or Open MPI runs several processes on this host, each takes the one of
    its local number, unless it sees only one anyway.
    """
    read = os.environ.get
    tasks = read("OMPI_COMM_WORLD_LOCAL_SIZE") or read("SLURM_STEP_TASKS_PER_NODE", "1")
    index = read("OMPI_COMM_WORLD_LOCAL_RANK") or read("SLURM_LOCALID")
    one_a_host = all(each.split("(")[0] == "1" for each in tasks.split(","))
    sees_one = len(read("CUDA_VISIBLE_DEVICES", ",").split(",")) == 1
    return None if one_a_host or sees_one or index is None else [int(index)]
