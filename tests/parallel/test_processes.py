import signal
import socket
import subprocess
import sys

import pytest

from jax_ssl.parallel.launch import Launch
from jax_ssl.parallel.processes import Processes, await_file, meet, of_first

ABORTS = """
import os
from jax_ssl.parallel.processes import LastWords
words = LastWords(lambda: "the end", status=7)
{then}
os.abort()
"""
JOINS = """
from jax_ssl.parallel.processes import Launch, Processes
Processes(Launch("{address}", 2, {index}), peer_timeout=1, join_timeout=1)
"""


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def start(code):
    words, pipe = [sys.executable, "-c", code], subprocess.PIPE
    return subprocess.Popen(words, stderr=pipe, text=True)


def end(process):
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors.strip()


def test_an_aborted_process_has_last_words():
    assert end(start(ABORTS.format(then="pass"))) == (7, "the end")


def test_withdrawn_words_leave_the_abort_alone():
    ended = end(start(ABORTS.format(then="words.withdraw()")))
    assert ended == (-signal.SIGABRT, "")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_is_taken_is_named(family):
    with socket.socket(family) as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"cannot listen at {address}"):
            Processes(Launch(address, 2, 0), peer_timeout=1)


@pytest.mark.multiprocess
def test_processes_that_wait_in_vain_say_so():
    why = {0: "not all 2 processes came", 1: "could not reach process 0 there"}
    addresses = {index: free_address() for index in why}
    waiting = {
        index: start(JOINS.format(address=address, index=index))
        for index, address in addresses.items()
    }
    for index, process in waiting.items():
        status, errors = end(process)
        assert status == 2
        expected = f"process {index} of 2 waited 1 s at {addresses[index]}, but "
        assert errors.splitlines()[-1].startswith(expected + why[index])


def test_a_process_alone_waits_for_nobody(tmp_path):
    meet()
    assert of_first("name", "value") == "value"
    (tmp_path / "there").touch()
    await_file(tmp_path / "there")
    with pytest.raises(ValueError, match="a folder that all processes share"):
        await_file(tmp_path / "absent", timeout=0)
