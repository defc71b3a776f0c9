"""Laws of training with boxes; the battery is in `tests/test_contract.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.fields import Field
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.evaluate.measured import measured_by
from jax_ssl.methods import METHODS
from jax_ssl.methods.detector import boxes_of
from tests.case import Case
from tests.images import one_image

K = 2
KEY = jax.random.key(1)
CONV = {"name": "convnet", "widths": (6, 8)}


def boxed_image(key, example):
    """A noisy view, one box of a class by its colour, and one that is not there."""
    image = example["image"].astype(jnp.float32)
    bright = image.mean((0, 1))
    corner = bright[:2] / 64
    box = jnp.concatenate([(bright[2:] > 127).astype(jnp.float32), corner, corner + 4])
    return {
        "image": one_image(key, example),
        "boxes": jnp.stack([box, jnp.full(5, -1.0)]),
    }


CASES = {
    "detector": Case(
        "detector",
        {"num_classes": K, "width": 8, "depth": 1, "levels": (0, 1)},
        boxed_image,
        encoder=CONV,
        learning_rate=0.02,
    ),
    "detector-frozen": Case(
        "detector",
        {"num_classes": K, "width": 8, "depth": 1, "freeze_encoder": True},
        boxed_image,
        encoder=CONV,
        learning_rate=0.02,
    ),
}


def made(**settings):
    encoder = ENCODERS["convnet"](widths=(6, 8))
    settings = {"num_classes": K, "width": 8, "depth": 1, **settings}
    return METHODS["detector"](encoder, boxed_image, **settings)


def views_of(rng):
    boxes = np.full((2, 3, 5), -1, np.float32)
    boxes[0, 1], boxes[1, 0] = (1, 3, 2, 11, 12), (0, 6, 6, 9, 9)
    return {
        "image": jnp.asarray(rng.normal(size=(2, 16, 16, 3)), jnp.float32),
        "boxes": boxes,
    }


def test_a_prediction_is_boxes_in_pixels_of_the_view_and_its_measure_has_them_all(rng):
    views = views_of(rng)
    method = made(max_detections=7, least_score=0.0)
    params, state = jax.jit(method.init)(KEY, views)
    protocol = PROTOCOLS["detection"]({"boxes": Field("boxes", (3, 5), np.dtype("f4"))})

    @jax.jit
    def said(params, state):
        whole, read = (params, state), (protocol, "network")
        return (
            method.predicts["detections"](params, state, views),
            measured_by(read, method, whole, views, views),
        )

    with pytest.raises(ValueError, match=r"must carry them; .* 'detection_whole'"):
        measured_by((protocol, "network"), method, (params, state), views["image"], {})
    found, numbers = said(params, state)
    assert found.shape == (2, 7, 6)
    assert (found[..., 1] > 0).all()
    assert ((found[..., 2:] >= 0) & (found[..., 2:] <= 16)).all()
    assert (jnp.diff(found[..., 1], axis=1) <= 0).all()
    np.testing.assert_array_equal(numbers[:, :3], [[7, 3, 0]] * 2)
    np.testing.assert_allclose(numbers[:, 3:45].reshape(found.shape), found, rtol=1e-5)


def test_boxes_stand_at_their_cells():
    places = METHODS["detector"].__globals__["places_of"]([(2, 2)], (8,))
    boxes = boxes_of(jnp.ones((1, 4, 4)) * jnp.array([0.5, 0.25, 1, 2]), places)
    np.testing.assert_allclose(boxes[0, 1], [12 - 4, 4 - 2, 12 + 8, 4 + 16])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_classes": None}, "num_classes = None, .* no names: set num_classes"),
        ({"width": 12}, "width = 12 must be a multiple of 8"),
        ({"nms_threshold": 1.5}, "nms_threshold = 1.5"),
        ({"levels": (5,)}, r"levels = \(5,\), and the encoder's pyramid has 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(rng, settings, said):
    with pytest.raises(ValueError, match=said):
        jax.eval_shape(made(**settings).init, KEY, views_of(rng))


def test_views_without_boxes_are_refused(rng):
    views = {"image": views_of(rng)["image"]}
    with pytest.raises(ValueError, match=r"this method reads .*detection_crops"):
        jax.eval_shape(made().init, KEY, views)
