"""Self-supervised learning in JAX: methods as values, one loop, any mesh."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Looked up when they are asked for, so that `jax-ssl --help` need not wait for jax.
_PUBLIC = {
    "Method": "jax_ssl.core.method",
    "Refresh": "jax_ssl.core.method",
    "TrainState": "jax_ssl.core.state",
    "fit": "jax_ssl.train.loop",
    "load": "jax_ssl.run.use",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'jax_ssl' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
