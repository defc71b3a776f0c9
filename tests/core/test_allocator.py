"""The program starts itself once more for its memory, and only where that helps."""

import os
import subprocess
import sys

import pytest

from jax_ssl.core import allocator

SCRIPT = """
import os, pathlib, sys
from jax_ssl.core import allocator
allocator.OFFERED = pathlib.Path(sys.argv[1])
allocator.DEVICES = allocator.OFFERED.parent
allocator.start_with_allocator()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), *sys.argv[2:])
"""


def started(tmp_path, offered, **environment):
    """(process id, what it printed) of a program that asks for memory."""
    page = tmp_path / "enabled"
    page.write_text(offered)
    inherited = {k: v for k, v in os.environ.items() if k != allocator.TUNABLES}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, page, "two words", ""],
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    number, _, rest = said.partition(" ")
    assert int(number) == process.pid  # The shell still knows it.
    return rest


MADVISE = "always [madvise] never"
glibc = pytest.mark.skipif(not allocator._of_use(), reason="nothing is offered here")


@glibc
@pytest.mark.parametrize("before", ["", "glibc.rtld.nns=4"])
@pytest.mark.parametrize("offered", [MADVISE, "[always] madvise never"])
def test_it_starts_itself_with_the_same_words(tmp_path, before, offered):
    said = started(tmp_path, offered, **({"GLIBC_TUNABLES": before} if before else {}))
    told, _, rest = said.partition(" ")
    assert rest == "two words \n"
    found = dict(text.split("=") for text in told.split(":"))
    if before:
        assert found.pop("glibc.rtld.nns") == "4"
    asked = allocator.HUGE if offered == MADVISE else {}
    assert found == {**asked, **allocator.KEPT}


@pytest.mark.parametrize(
    ("offered", "environment"),
    [
        (MADVISE, {"JAX_SSL_ALLOCATOR": "0"}),
        (MADVISE, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}),
    ],
)
def test_it_goes_on_as_it_is(tmp_path, offered, environment):
    tunables = environment.get("GLIBC_TUNABLES")
    assert started(tmp_path, offered, **environment) == f"{tunables} two words \n"


@glibc
@pytest.mark.parametrize("device", ["accel0", "nvidia0", "nvidiactl"])
def test_it_goes_on_as_it_is_beside_an_accelerator(tmp_path, device):
    (tmp_path / device).touch()
    assert started(tmp_path, MADVISE) == "None two words \n"
