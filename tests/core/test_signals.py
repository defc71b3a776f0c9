"""A signal ends a program at once, in its own words, whatever the main thread does."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
BUSY = {
    # One call of C that gives the lock away, as a compilation does.
    "in C": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "in Python": "while True: pass",
    "asleep": "time.sleep(60)",
    "at a pipe that nobody writes": "os.read(os.pipe()[0], 1)",
    "held by a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
}


def started(code):
    lines = [
        "import hashlib, os, sys, threading, time",
        "from jax_ssl.core.signals import departure",
        "departure.watch('jax-ssl train')",
        "print('ready', flush=True)",
        code,
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", BUSY)
def test_one_line_and_the_status_of_the_signal(what, number):
    process = started(f"with departure.busy('compiling'):\n    {BUSY[what]}")
    time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said.splitlines() == [
        f"jax-ssl train: stopped by {number.name} while compiling; nothing is lost, "
        "and the same command starts again."
    ]


def test_steps_that_are_not_saved_hold_it_until_a_second_ctrl_c():
    process = started(
        "departure.kept_for = 'saving'\n"
        "print('held', flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline().startswith("stopping: saving (Ctrl-C again")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT
    assert "what is saved is kept" in said


def test_what_was_held_ends_by_its_own_status():
    process = started(
        "departure.kept_for = 'saving'\n"
        "signal = __import__('signal')\n"
        "got = []\n"
        "signal.signal(signal.SIGINT, lambda *number: got.append(number))\n"
        "print('held', flush=True)\n"
        "while not got: time.sleep(0.01)\n"
        "departure.kept_for = ''\n"
        "sys.exit(77)"
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (77, "")
