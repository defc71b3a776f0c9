"""The program: `jax-ssl`, or `python -m jax_ssl`."""

from jax_ssl.core.signals import departure

departure.watch("jax-ssl")  # Before anything that takes time to import.

import sys  # noqa: E402

from jax_ssl.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
