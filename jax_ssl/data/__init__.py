"""Random access to images on the host, and the order in which a run reads them."""

from collections.abc import Callable

from jax_ssl.data.arrays import npz
from jax_ssl.data.digits import digits
from jax_ssl.data.source import Source

SOURCES: dict[str, Callable[..., Source]] = {"digits": digits, "npz": npz}
