"""How programs are compiled: options for every platform, and what is kept of them.

Only CPUs need any. An option that this version of jaxlib does not know is left out, as
is one that XLA_FLAGS names, which is the user's to choose. Programs for a TPU or a GPU,
also those compiled ahead of time on a machine without one, have XLA's defaults.
"""

import contextlib
import functools
import hashlib
import logging
import os
import pathlib
import platform
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from jax_ssl.core.user_cache import cache_folder

# XLA:CPU gives its convolutions to a library, YNN, which has half the speed of XLA's
# own loops where there are 64 channels, and nearly theirs at 128 (3 x 3, jaxlib 0.10.2,
# two cores of AVX2). Only its matrix products are kept. LLVM's third level takes a
# third more time to compile a small network's step than its second one, and the step
# is as fast, with the same numbers.
FAST: Mapping[str, str] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
    "xla_backend_optimization_level": "2",
}
# For what runs once, on little data.
HURRIED: Mapping[str, str] = {"xla_backend_optimization_level": "0"}
# Of the programs that are kept; the least recently used go first.
KEPT_BYTES = 4 * 2**30
# Seconds of compilation from which on a program is kept.
WORTH_KEEPING = 0.2

log = logging.getLogger(__name__)


def keep_programs() -> None:
    """Keeps compiled programs for the next process, in the user's cache folder.

    JAX's own settings come first: JAX_COMPILATION_CACHE_DIR names another folder, and
    JAX_ENABLE_COMPILATION_CACHE=false keeps nothing.
    """
    config: Any = jax.config
    named = config.jax_compilation_cache_dir is not None
    if named or not config.jax_enable_compilation_cache:
        return
    try:
        folder = cache_folder(f"programs-{_processor()}")
        writable = os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # A home that is read-only, or none.
        writable = False
    if not writable:
        log.info(
            "compiled programs are not kept: there is no home to write in; name a "
            "folder with JAX_COMPILATION_CACHE_DIR"
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", KEPT_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING)


def _processor() -> str:
    """A name for what this processor can do: programs for a CPU need all of it.

    A home may be shared by machines of several kinds.
    """
    able = [platform.machine()]
    with contextlib.suppress(OSError):
        text = pathlib.Path("/proc/cpuinfo").read_text()
        lines = [s for s in text.splitlines() if s.startswith(("flags", "Features"))]
        able += lines[:1]  # One processor's; the others are like it.
    return hashlib.sha256(" ".join(able).encode()).hexdigest()[:8]


def jit(
    fn: Callable[..., Any], *, mesh: Mesh | None = None, **options: Any
) -> Callable[..., Any]:
    """`jax.jit(fn)` with the compile options of the platform that it will run on.

    Args:
        fn: the function.
        mesh: of the devices; without one, those of JAX's default backend.
        **options: further ones of `jax.jit`.
    """
    backend = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    return _jit(fn, FAST, backend, options)


def once(fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit(fn)` for what runs seldom on little data: on a CPU compiled in a hurry.

    Args:
        fn: the function.
        **options: further ones of `jax.jit`.
    """
    return _jit(fn, HURRIED, jax.default_backend(), options)


def _jit(
    fn: Callable[..., Any],
    wanted: Mapping[str, str],
    backend: str,
    options: Mapping[str, Any],
) -> Callable[..., Any]:
    told = os.environ.get("XLA_FLAGS", "")
    known = {
        name: value
        for name, value in wanted.items()
        if backend == "cpu" and f"--{name}=" not in told and _known(name, value)
    }
    return jax.jit(fn, compiler_options=known or None, **options)


@functools.cache
def _known(name: str, value: str) -> bool:
    """Whether XLA:CPU takes the option; it takes a hundredth of a second to ask."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        asked = jax.jit(lambda: 0, compiler_options={name: value})
        try:
            asked.lower().compile()
        except jax.errors.JaxRuntimeError:
            return False
    return True
