"""The program starts itself once more for huge pages, and only where that helps."""

import os
import subprocess
import sys

import pytest

from jax_ssl.core import huge_pages

SCRIPT = """
import os, pathlib, sys
from jax_ssl.core import huge_pages
huge_pages.OFFERED = pathlib.Path(sys.argv[1])
huge_pages.start_with_huge_pages()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), *sys.argv[2:])
"""


def started(tmp_path, offered, **environment):
    """(process id, what it printed) of a program that asks for huge pages."""
    page = tmp_path / "enabled"
    page.write_text(offered)
    inherited = {k: v for k, v in os.environ.items() if k != huge_pages.TUNABLES}
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
glibc = pytest.mark.skipif(not huge_pages._offered(), reason="nothing is offered here")


@glibc
@pytest.mark.parametrize("before", ["", "glibc.malloc.check=0"])
def test_it_starts_itself_with_the_same_words(tmp_path, before):
    said = started(tmp_path, MADVISE, **({"GLIBC_TUNABLES": before} if before else {}))
    told = ":".join([*filter(None, [before]), "glibc.malloc.hugetlb=1"])
    assert said == f"{told} two words \n"


@pytest.mark.parametrize(
    ("offered", "environment"),
    [
        ("[always] madvise never", {}),
        ("always madvise [never]", {}),
        (MADVISE, {"JAX_SSL_HUGE_PAGES": "0"}),
        (MADVISE, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}),
    ],
)
def test_it_goes_on_as_it_is(tmp_path, offered, environment):
    tunables = environment.get("GLIBC_TUNABLES")
    assert started(tmp_path, offered, **environment) == f"{tunables} two words \n"
