"""What methods read of views, and the sentence that refuses any others."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.nn import views as reading
from tests.cases import METHODS_UNDER_TEST

B = 16


def array(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct((B, *shape), dtype)


ROW = array(dtype=jnp.int32)
# Views of every kind that some method reads.
KINDS = {
    "two": array(2, 8, 8, 3),
    "four": array(4, 8, 8, 3),
    "image": array(8, 8, 3),
    "image and row": {"image": array(8, 8, 3), "index": ROW},
    "image and label": {"image": array(8, 8, 3), "label": ROW},
    "image and mask": {"image": array(8, 8, 3), "mask": array(8, 8, dtype=jnp.uint8)},
    "two and row": {"image": array(2, 8, 8, 3), "index": ROW},
    "two and label": {"image": array(2, 8, 8, 3), "label": ROW},
    "crops": {"global": array(2, 8, 8, 3), "local": array(3, 4, 4, 3)},
    "crops and row": {
        "global": array(2, 8, 8, 3),
        "local": array(3, 4, 4, 3),
        "index": ROW,
    },
    "one crop": {"global": array(1, 8, 8, 3)},
    "local crops": {"local": array(2, 4, 4, 3)},
    "flat crops": {"global": array(2, 8, 8)},
}
# Each with the kinds that it takes.
READERS = {
    "pair": (reading.pair, {"two"}),
    "stack": (reading.stack, {"two", "four"}),
    "image": (reading.image, {"image"}),
    "one_and": (
        lambda views: reading.one_and("index", views, "npid"),
        {"image and row"},
    ),
    "masked_image": (reading.masked_image, {"image and mask"}),
    "pair_and": (
        lambda views: reading.pair_and("index", views, "supcon"),
        {"two and row"},
    ),
    "crop_stacks": (
        reading.crop_stacks,
        {"two", "four", "crops", "crops and row", "one crop"},
    ),
    "crops_and": (
        lambda views: reading.crops_and("index", views),
        {"crops and row"},
    ),
    "two_global_crops": (
        reading.two_global_crops,
        {"two", "crops", "crops and row"},
    ),
}
# What the methods of the battery read; all other kinds are refused.
METHODS = {
    "simclr": {"two"},
    "supcon": {"two and label"},
    "byol": {"two"},
    "w_mse": {"two", "four"},
    "moco": {"two"},
    "swav": {"two", "crops", "crops and row"},
    "dino": {"two", "crops", "crops and row"},
    "dinov2": {"two", "crops", "crops and row"},
    "deepcluster": {"image and row"},
    "deepcluster_v2": {"crops and row"},
    "npid": {"image and row"},
    "classifier": {"image and label"},
    "mae": {"image"},
}


def assert_refused(function, views):
    """One sentence: the shapes that were found, what is read, and a setting."""
    with pytest.raises(ValueError, match="the views are") as caught:
        function(views)
    message = str(caught.value)
    shapes = jax.tree.map(lambda leaf: leaf.shape, views)
    assert message.startswith(f"the views are {shapes}, and this method reads ")
    assert message.endswith(".")
    assert "\n" not in message
    recipe = re.search(r"config\.views\.name = '(\w+)'", message).group(1)
    assert recipe in VIEWS


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_its_kinds_and_refuses_all_others(name):
    read, kinds = READERS[name]
    for kind, views in KINDS.items():
        if kind in kinds:
            read(views)
        else:
            assert_refused(read, views)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_refuses_the_views_of_another_before_it_starts(name):
    method = METHODS_UNDER_TEST[name].build()
    start = lambda views: jax.eval_shape(method.init, jax.random.key(0), views)
    for kind, views in KINDS.items():
        if kind in METHODS[name]:
            start(views)
        else:
            assert_refused(start, views)


def test_views_are_handed_on_as_they_are():
    two, image = KINDS["two"], KINDS["image"]
    assert reading.pair(two) is two
    assert reading.stack(two) is two
    assert reading.image(image) is image
    named = KINDS["image and row"]
    read = reading.one_and("index", named, "npid")
    assert read == (named["image"], named["index"])


def test_waves_have_views_too():
    waves = array(2, 16000)
    assert reading.pair(waves) is waves
    assert reading.stack(waves) is waves


def test_large_crops_come_first():
    sizes = {"local_2": 2, "global": 8, "index": None, "local": 4}
    views = {
        name: np.zeros((1, 2, size, size, 3)) if size else np.zeros(1)
        for name, size in sizes.items()
    }
    stacks, rows = reading.crops_and("index", views)
    assert [stack.shape[2] for stack in stacks] == [8, 4, 2]
    assert rows is views["index"]
    assert len(reading.crop_stacks(views["global"])) == 1
    assert len(reading.two_global_crops(views)) == 3


def test_the_rows_beside_crops_are_asked_of_the_recipe():
    with pytest.raises(ValueError, match=r"config\.views\.carried = \('index',\)"):
        reading.crops_and("index", KINDS["crops"])
