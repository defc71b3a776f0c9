"""A corrupted source: cuts, fields, and that every image stays what it is."""

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data.arrays import arrays
from jax_ssl.data.corrupted import corrupted, cut
from jax_ssl.data.identity import identity


def source(rng, side=20, count=6):
    images = rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    return arrays({"image": images, "label": np.arange(count, dtype=np.int32) % 3})


def test_an_image_does_not_depend_on_what_is_read_beside_it(rng):
    clean = source(rng)
    noisy = corrupted(clean, "gaussian_noise", 3, size=20, resize=20)
    whole = noisy[np.arange(6)]
    np.testing.assert_array_equal(whole["label"], clean[np.arange(6)]["label"])
    for row in (4, 1):
        alone = noisy[np.array([row])]["image"][0]
        np.testing.assert_array_equal(alone, whole["image"][row])
    pairs = (whole["image"].astype(float) - clean[np.arange(6)]["image"]) / 255
    assert np.abs(pairs).max() > 0.1
    assert not np.array_equal(pairs[0], pairs[1])
    other = corrupted(clean, "gaussian_noise", 3, size=20, resize=20, seed=1)
    assert not np.array_equal(other[np.arange(6)]["image"], whole["image"])


def test_the_cut_comes_first_and_honours_the_filled_part(rng):
    image = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    canvas = np.zeros((1, 48, 48, 3), np.uint8)
    canvas[0, :30, :40] = image
    sizes = np.array([[30, 40]], np.int32)
    laid = arrays({"image": canvas, "size": sizes}, kinds={"size": "size"})
    found = corrupted(laid, None, size=16, resize=20)
    judge = Image.fromarray(image).resize((26, 20), Image.Resampling.BILINEAR)
    expected = np.asarray(judge)[2:18, 5:21]
    np.testing.assert_array_equal(found[np.array([0])]["image"][0], expected)
    assert "size" not in found.fields
    assert cut(image, 30, 30).shape == (30, 30, 3)


def test_fields_identity_and_names_follow(rng):
    clean = source(rng)
    fog = corrupted(clean, "fog", 2, size=20, resize=20)
    assert fog.name == f"{clean.name}, fog 2"
    assert set(fog.keep(["label"])[np.array([1])]) == {"label", "index"}
    assert fog.keep(["image", "label"]).source is not None
    told = {
        identity(corrupted(clean, kind, 2, size=20, resize=20))["digest"]
        for kind in ("fog", "snow", None)
    }
    assert len(told) == 3
    with pytest.raises(ValueError, match="no field 'size'"):
        fog.keep(["size"])


def test_what_cannot_be_corrupted_is_refused(rng):
    gray = arrays({"image": np.zeros((2, 8, 8, 1), np.uint8)})
    with pytest.raises(ValueError, match="no RGB images of 8 bits"):
        corrupted(gray, "fog", size=8, resize=8)
    with pytest.raises(ValueError, match="kind = 'mist'"):
        corrupted(source(rng), "mist", size=8, resize=8)
    with pytest.raises(ValueError, match="severity = 0"):
        corrupted(source(rng), "fog", 0, size=8, resize=8)
