"""What XLA is told beside a program: the compile options of every platform.

Only CPUs need any. An option that this version of jaxlib does not know is left out, and
programs for a TPU or a GPU, also those compiled ahead of time on a machine without one,
are compiled with XLA's defaults.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

# XLA:CPU gives its convolutions to a library, YNN, whose weight gradient of a 3 x 3
# convolution is twenty times slower than XLA's own (jaxlib 0.10.2). Only its matrix
# products are kept.
FAST: Mapping[str, str] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}
# For what runs once, on little data.
HURRIED: Mapping[str, str] = {"xla_backend_optimization_level": "0"}


def jit(
    fn: Callable[..., Any], *, mesh: Mesh | None = None, **options: Any
) -> Callable[..., Any]:
    """`jax.jit(fn)` with the compile options of the platform that it will run on.

    Args:
        fn: the function.
        mesh: of the devices; without one, those of JAX's default backend.
        **options: further ones of `jax.jit`.
    """
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    return _jit(fn, FAST, platform, options)


def once(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit(fn)` for what runs once on little data: on a CPU compiled in a hurry."""
    return _jit(fn, HURRIED, jax.default_backend(), {})


def _jit(
    fn: Callable[..., Any],
    wanted: Mapping[str, str],
    platform: str,
    options: Mapping[str, Any],
) -> Callable[..., Any]:
    known = {k: v for k, v in wanted.items() if platform == "cpu" and _known(k, v)}
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
