"""One paper per file, and the table of them."""

from jax_ssl.methods.simclr import simclr

METHODS = {"simclr": simclr}
