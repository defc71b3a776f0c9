"""Products in full float32.

The default on a TPU is one pass in bfloat16, and on a GPU TF32.
"""

import functools

import jax.numpy as jnp
from jax import lax

einsum = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
matmul = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
