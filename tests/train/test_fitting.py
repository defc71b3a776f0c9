"""Files of encoders that fit a run only nearly."""

import numpy as np
import pytest

from jax_ssl.ops.positions import resample_positions, sincos_positions
from jax_ssl.train.fitting import fitted

DIM, PATCH = 8, 4


def vit(side, channels=3, *, learned=True, mask=False):
    """Variables like a ViT's whose grid has `side` cells along each axis."""
    rng = np.random.default_rng(side)
    kernel = rng.normal(size=(PATCH * PATCH * channels, DIM)).astype(np.float32)
    params = {"patch_embed": {"kernel": kernel}, "class_token": np.ones((1, DIM))}
    if learned:
        shape = (1 + side * side, DIM)
        params["position_embed"] = rng.normal(size=shape).astype(np.float32)
    if mask:
        params["mask_embed"] = np.ones((1, DIM), np.float32)
    return {"params": params}


def settings(side, positions="learned", resample="mae"):
    sizes = {"patch": PATCH, "image_size": side * PATCH}
    return {**sizes, "positions": positions, "resample": resample}


def fit(file, abstract, chosen, theirs=None):
    return fitted(file, abstract, chosen, theirs or {})


def fixed(side):
    found = vit(side)
    table = np.pad(sincos_positions(side, side, DIM), ((1, 0), (0, 0)))
    found["params"]["position_embed"] = table
    return found


@pytest.mark.parametrize("rule", ["timm", "mae", "dino"])
def test_positions_follow_the_size_of_the_images(rule):
    file = vit(4)
    found, (said,) = fit(file, vit(6), settings(6, resample=rule))
    table = file["params"]["position_embed"]
    moved = resample_positions(table[1:], (4, 4), (6, 6), form=rule)
    np.testing.assert_array_equal(found["params"]["position_embed"][1:], moved)
    np.testing.assert_array_equal(found["params"]["position_embed"][0], table[0])
    assert f"4 x 4 patches interpolated to 6 x 6 as resample = '{rule}'" in said
    assert file["params"]["position_embed"] is table


def test_fixed_positions_come_and_go():
    without, (said,) = fit(
        fixed(4), vit(6, learned=False), settings(6, positions="sincos")
    )
    assert "position_embed" not in without["params"]
    assert "which are the fixed ones" in said
    again, _ = fit(without, vit(6), settings(6))
    wanted = fixed(6)["params"]["position_embed"]
    np.testing.assert_array_equal(again["params"]["position_embed"], wanted)


def test_learned_positions_are_no_fixed_ones():
    with pytest.raises(ValueError, match=r"set encoder\.positions = 'learned'"):
        fit(vit(4), vit(4, learned=False), settings(4, positions="sincos"))


def test_mask_tokens_come_and_go():
    found, said = fit(vit(4, mask=True), vit(4), settings(4))
    assert "mask_embed" not in found["params"]
    assert said == ["its mask token left out"]
    found, _ = fit(vit(4), vit(4, mask=True), settings(4))
    np.testing.assert_array_equal(found["params"]["mask_embed"], np.zeros((1, DIM)))


def test_images_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="of 3 channels, and those of this run have 1"):
        fit(vit(4), vit(4, 1), settings(4))
    stems = (
        {"params": {"stem_conv": {"kernel": np.ones((7, 7, c, 64))}}} for c in (3, 4)
    )
    with pytest.raises(ValueError, match="of 3 channels, and those of this run have 4"):
        fit(*stems, {})


def test_what_fits_stays_as_it_is():
    for file in (vit(4), {"params": {"dense": {"kernel": np.ones((3, 4))}}}):
        found, said = fit(file, file, settings(4))
        assert not said
        assert found["params"].keys() == file["params"].keys()


def test_patches_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"of 8 pixels.*of 4; set encoder\.patch = 8"):
        fit(vit(4), vit(4), settings(4), {"patch": 8})
