"""A method on crops, its student's and teacher's logits, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.images import plain_crops
from tests.leaves import assert_near
from tests.methods.beginnings import begun
from tests.methods.pairs import once_a_setting

VIT = {"name": "vit", "dim": 24, "depth": 1, "num_heads": 2, "patch": 2}
VIT |= {"image_size": 8, "pool": "mean"}


def random_crops(rng, rows=6, count=3):
    draw = lambda *shape: jnp.asarray(rng.uniform(size=shape), jnp.float32)
    return {
        "global": draw(rows, 2, 8, 8, 3),
        "local": draw(rows, count, 4, 4, 3),
    }


@once_a_setting
def made(name, views, encoder, **settings):
    """(method, params, state), the teacher and the centres being nothing special."""
    method = METHODS[name](
        ENCODERS[encoder.pop("name")](**encoder), plain_crops, **settings
    )
    params, state = begun(method, jax.random.key(0), views)
    rng = np.random.default_rng(1)
    draw = lambda leaf, scale: rng.normal(0, scale, leaf.shape).astype(np.float32)
    noisy = lambda leaf: np.asarray(leaf) + draw(leaf, 0.05)
    teacher = jax.tree.map(noisy, state.teacher.params)
    state = state._replace(teacher=state.teacher._replace(params=teacher))
    centers = {
        field: draw(getattr(state, field), 0.3)
        for field in state._fields
        if "center" in field
    }
    return method, params, state._replace(**centers)


def assert_close(found, wanted, tolerance=1e-5):
    """Leaf by leaf, relative to the largest entry."""
    assert_near(found, wanted, tolerance, least=1e-3)
