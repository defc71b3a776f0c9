"""The program: `jax-ssl`, or `python -m jax_ssl`."""

import pathlib
import sys

from jax_ssl.core.allocator import start_with_allocator
from jax_ssl.core.signals import departure

if pathlib.Path(sys.argv[0]).name in ("jax-ssl", "__main__.py"):
    start_with_allocator()
departure.watch("jax-ssl")  # Before anything that takes time to import.

from jax_ssl.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
