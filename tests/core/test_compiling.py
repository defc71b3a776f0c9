"""Every platform's compile options, and none that a jaxlib does not know."""

import os
import pathlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core import compiling
from jax_ssl.parallel.mesh import make_mesh


@pytest.fixture
def told(monkeypatch):
    """The options that `jax.jit` was given, in order; XLA_FLAGS is not set."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    seen, plain = [], jax.jit

    def jit(fn, *, compiler_options=None, **more):
        seen.append(compiler_options)
        return plain(fn, compiler_options=compiler_options, **more)

    monkeypatch.setattr(jax, "jit", jit)
    return seen


def test_a_cpu_gets_what_its_jaxlib_knows_and_nothing_else(told, monkeypatch):
    known = {"xla_backend_optimization_level": "1"}
    monkeypatch.setattr(compiling, "FAST", {**known, "xla_cpu_of_a_later_year": "1"})
    double = compiling.jit(lambda x: 2 * x)
    assert told[-1] == known
    np.testing.assert_array_equal(double(jnp.arange(3)), [0, 2, 4])


def test_options_of_today_are_known_to_this_jaxlib(told):
    compiling.jit(lambda x: x, mesh=make_mesh())
    assert told[-1] == dict(compiling.FAST)
    compiling.once(lambda x: x)
    assert told[-1] == dict(compiling.HURRIED)


def test_what_the_user_has_chosen_stays(told, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a=b --xla_backend_optimization_level=3")
    compiling.once(lambda x: x)
    assert told[-1] is None


@pytest.mark.parametrize("platform", ["tpu", "gpu"])
def test_other_platforms_have_defaults_also_where_a_cpu_compiles(told, platform):
    device = types.SimpleNamespace(platform=platform)
    mesh = types.SimpleNamespace(devices=np.array([[device]]))
    compiling.jit(lambda x: x, mesh=mesh)
    assert told[-1] is None


SCRIPT = """
import sys, jax, jax.numpy as jnp
from jax_ssl.core import compiling
compiling.WORTH_KEEPING = 0
compiling.keep_programs()
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((3, 3)))
print(jax.config.jax_compilation_cache_dir)
"""


def kept(**environment):
    """Where a process keeps its programs, and how many there are then."""
    inherited = {k: v for k, v in os.environ.items() if "CACHE" not in k}
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    ).stdout.strip()
    found = list(pathlib.Path(said).glob("*-cache")) if said != "None" else []
    return said, len(found)


def test_programs_are_kept_where_a_user_keeps_such_things(tmp_path):
    home, other = tmp_path / "home", tmp_path / "other"
    folder, count = kept(HOME=str(home))
    assert folder.startswith(f"{home}/.cache/jax_ssl/programs-")
    assert count > 0
    folder, count = kept(HOME=str(home), XDG_CACHE_HOME=str(other))
    assert folder.startswith(f"{other}/jax_ssl/programs-")
    assert count > 0
    named = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "named")}
    assert kept(HOME=str(home), **named)[0] == str(tmp_path / "named")
    off = {
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "XDG_CACHE_HOME": str(tmp_path / "n"),
    }
    assert kept(HOME=str(home), **off)[1] == 0


def test_a_home_that_cannot_be_written_in_is_said_and_no_harm(monkeypatch, caplog):
    seen = []
    values = types.SimpleNamespace(
        jax_compilation_cache_dir=None,
        jax_enable_compilation_cache=True,
        update=lambda *pair: seen.append(pair),
    )
    monkeypatch.setattr(jax, "config", values)
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    with caplog.at_level("INFO"):
        compiling.keep_programs()
    assert seen == []
    assert "compiled programs are not kept" in caplog.text
