"""Eight forced CPU devices and full matmul precision, set before jax is imported."""

import os
import pathlib

os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    ).strip()

import jax
import numpy as np
import pytest

jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_threefry_partitionable", True)

ROOT = pathlib.Path(__file__).resolve().parent.parent


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
