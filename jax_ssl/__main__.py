"""`python -m jax_ssl` is `jax-ssl`."""

import sys

from jax_ssl.cli import main

if __name__ == "__main__":
    sys.exit(main())
