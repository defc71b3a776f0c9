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


def plain_views(key, example):
    """Two noisy views, [2, H, W, C]: quick to compile where the recipe is no matter."""
    image = example["image"].astype(jnp.float32) / 255
    # One draw: a second one, or a normal one, would take as long to compile again.
    drawn = jax.random.uniform(key, (2, image.size + 1), minval=-1.0)
    gain = 1 + 0.3 * drawn[:, :1, None, None]
    return gain * image + 0.17 * drawn[:, 1:].reshape(2, *image.shape)


def one_view(key, example):
    """One such view, and the row of its image."""
    return {"image": plain_views(key, example)[0], "index": example["index"]}


def one_image(key, example):
    """One such view alone, [H, W, C]."""
    return plain_views(key, example)[0]


def one_wave(key, example):
    """One such view as a wave: its numbers one after the other, [H W C]."""
    return as_waves(one_image(key, example)[None])[0]


def as_waves(images):
    """Images [B, H, W, C] as waves [B, H W C]."""
    return images.reshape(len(images), -1) - 0.5


def plain_crops(key, example):
    """Two such views and two small ones, {"global": [2, ...], "local": [2, ...]}."""
    own, other = jax.random.split(key)
    wide = plain_views(own, example)
    half = SIZE // 2
    narrow = plain_views(other, example)[:, :half, half:]
    return {"global": wide, "local": narrow}


def inner_crops(key, example):
    """Two such views and two that lack a pixel at every side."""
    own, other = jax.random.split(key)
    wide, narrow = plain_views(own, example), plain_views(other, example)
    return {"global": wide, "local": narrow[:, 1:-1, 1:-1]}


def known_crops(key, example):
    """Such crops, and the row of their image."""
    return {**plain_crops(key, example), "index": example["index"]}


def labelled_image(key, example):
    """One such view, labelled by the channel in which the image is brightest."""
    sums = example["image"].astype(jnp.float32).sum((0, 1))
    return {"image": plain_views(key, example)[0], "label": sums.argmax()}


def labelled_pair(key, example):
    """Two such views, and that label."""
    return {**labelled_image(key, example), "image": plain_views(key, example)}


def painted_image(key, example):
    """One view [H, W, 3] in [0, 1] that is orange where it is bright, else blue."""
    light = jnp.clip(one_image(key, example).mean(-1, keepdims=True), 0, 1)
    orange, blue = jnp.array([1.0, 0.6, 0.2]), jnp.array([0.2, 0.5, 1.0])
    return light * jnp.where(light > 0.5, orange, blue)
