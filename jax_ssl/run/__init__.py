"""The commands: each takes parsed options and returns an exit status."""

import argparse
import importlib
from collections.abc import Callable

# By name, where they are: what one of them needs, the others need not wait for.
MODULES = {
    **{name: name for name in ("train", "evaluate", "plan", "report", "export")},
    "import": "importing",
    **{name: name for name in ("embed", "predict", "infer", "compare", "settings")},
    **{name: name for name in ("configs", "completion")},
}


def command(name: str) -> Callable[[argparse.Namespace], int]:
    """The function of a command, "import" for instance, whose module is loaded now."""
    module = importlib.import_module(f"jax_ssl.run.{MODULES[name]}")
    # The word import is one of Python's.
    return getattr(module, f"{name}_" if name == "import" else name)
