"""Processes that a launcher has started, as far as their environment goes, for real."""

import pytest

from tests.processes.launch import Group, by_open_mpi, by_slurm

pytestmark = pytest.mark.multiprocess


def test_tasks_of_slurm_join_and_each_has_its_device():
    with Group("tests.processes.joined", 2, 1, launcher=by_slurm) as group:
        assert group.codes(60) == [0, 0], group.said(0) + group.said(1)
        first, *rest = group.lines_of_ours(0)
    assert first.startswith("2 processes, joined at 127.0.0.1:")
    assert rest == ["an aside", "2 devices, GPU 0"]
    assert group.lines_of_ours(1) == ["process 1 of 2: 2 devices, GPU 1"]


def test_ranks_of_open_mpi_join_and_hear_why_one_of_them_fails():
    with Group("tests.processes.joined", 2, 1, ["1"], launcher=by_open_mpi) as group:
        assert group.codes(60) == [1, 2], group.said(0) + group.said(1)
        *_, ended, advice = group.lines_of_ours(0)
        *_, failed = group.lines_of_ours(1)
    assert failed == "process 1 of 2 failed: this one gives up"
    assert ended == f"process 0 of 2 ended, because {failed}"
    assert advice.endswith("the same command continues from the last checkpoint.")
