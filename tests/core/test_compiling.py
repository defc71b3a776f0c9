"""Every platform's compile options, and none that a jaxlib does not know."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core import compiling
from jax_ssl.parallel.mesh import make_mesh


@pytest.fixture
def told(monkeypatch):
    """The options that `jax.jit` was given, in order."""
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


@pytest.mark.parametrize("platform", ["tpu", "gpu"])
def test_other_platforms_have_defaults_also_where_a_cpu_compiles(told, platform):
    device = types.SimpleNamespace(platform=platform)
    mesh = types.SimpleNamespace(devices=np.array([[device]]))
    compiling.jit(lambda x: x, mesh=mesh)
    assert told[-1] is None
