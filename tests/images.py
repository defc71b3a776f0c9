"""The test images: small, smooth, coloured, and the same in every run."""

import jax
import jax.numpy as jnp
import numpy as np

SIZE = 8  # Pixels of a side.
BATCH = 16  # Two rows for each of eight devices.


def examples(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """`count` smooth random colour images, and their rows."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 3, 3, 3))
    image = coarse.repeat(3, 1).repeat(3, 2)[:, :SIZE, :SIZE]
    image = image + rng.normal(0, 12, image.shape)
    return {
        "image": np.clip(image, 0, 255).astype(np.uint8),
        "index": np.arange(count, dtype=np.int32),
    }


def batch(seed: int = 0) -> dict[str, jax.Array]:
    """A batch of `BATCH` examples on the default device."""
    return jax.tree.map(jnp.asarray, examples(BATCH, seed))
