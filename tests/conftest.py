"""Eight CPU devices, full matmul precision, one cache; set before jax is imported."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

from tests.flags import flags

# A traced program is thousands of objects that live on: looking through them again and
# again for garbage takes a fifth of the time.
gc.set_threshold(100_000, 50, 1000)

# One compilation of a program serves all commands that tests start, whichever worker of
# xdist starts them (they inherit the variable). Nothing outlives the session.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = tempfile.mkdtemp(prefix="jax_ssl-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, cache, ignore_errors=True)

os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
for flag, value in flags(devices=8).items():
    given = os.environ.get("XLA_FLAGS", "")
    if flag not in given:
        os.environ["XLA_FLAGS"] = f"{given} {flag}={value}".strip()

import jax  # noqa: E402 - the environment above must come first
import numpy as np  # noqa: E402
import pytest  # noqa: E402

# Hardly a program is compiled twice in the process of the tests themselves, and to find
# that out and to write each down takes a tenth of the time.
jax.config.update("jax_enable_compilation_cache", False)
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_threefry_partitionable", True)

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends a worker of xdist at once: it has told all that it knows.

    To take down what JAX holds, object by object, would take it ten seconds.
    """
    if hasattr(config, "workerinput"):
        os._exit(0)


@pytest.fixture
def rng(request) -> np.random.Generator:
    """A NumPy generator seeded by the test's own name."""
    seed = np.frombuffer(request.node.name.encode(), np.uint8)
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """The optional folder of real data; the test is skipped where it is absent."""
    path = pathlib.Path(
        os.environ.get("SSL_TEST_DATA", ROOT.parent / "shared" / "data")
    )
    if not path.is_dir():
        pytest.skip(f"no test data at {path}; set SSL_TEST_DATA to run this test")
    return path
