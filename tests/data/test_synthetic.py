import numpy as np
import pytest

from jax_ssl.data.synthetic import SHAPES, synthetic


def radial_profile(source):
    """How full each ring around the shape's centroid is: an oracle for the class."""
    size = source.arrays["image"].shape[1]
    image = source.arrays["image"].astype(float)
    border = np.concatenate(
        [image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], 1
    )
    away = abs(image - np.median(border, 1)[:, None, None]).max(-1)
    mask = away > 0.5 * np.percentile(away, 95, axis=(1, 2))[:, None, None]
    weight = mask.sum((1, 2))
    y, x = np.mgrid[:size, :size]
    cy, cx = ((mask * z).sum((1, 2)) / weight for z in (y, x))
    r = np.hypot(y - cy[:, None, None], x - cx[:, None, None])
    r /= np.sqrt((mask * r**2).sum((1, 2)) / weight)[:, None, None]
    rings = [(r >= 0.2 * k) & (r < 0.2 * k + 0.2) for k in range(10)]
    return np.stack([(mask & k).sum((1, 2)) / k.sum((1, 2)).clip(1) for k in rings], 1)


def nearest_accuracy(train, test, features):
    a, b = features(test), features(train)
    distance = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return (train.arrays["label"][distance.argmin(1)] == test.arrays["label"]).mean()


def flat(source):
    return source.arrays["image"].reshape(len(source), -1).astype(float)


def test_the_class_is_in_the_shape_and_hardly_in_the_pixels():
    train = synthetic(num_examples=512, num_classes=8)
    test = synthetic(num_examples=256, num_classes=8, split="test")
    assert nearest_accuracy(train, test, radial_profile) > 0.95
    assert nearest_accuracy(train, test, flat) < 0.5


def test_a_row_depends_on_its_number_seed_and_split_alone():
    few, many = synthetic(num_examples=8), synthetic(num_examples=24)
    np.testing.assert_array_equal(few.arrays["image"], many.arrays["image"][:8])
    assert len(np.unique(flat(many), axis=0)) == 24
    for other in ({"seed": 1}, {"split": "test"}):
        assert (flat(synthetic(num_examples=8, **other)) != flat(few)).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_classes_are_balanced_and_shapes_visible(channels):
    source = synthetic(num_examples=64, size=16, num_classes=8, channels=channels)
    assert np.bincount(source.arrays["label"]).tolist() == [8] * 8
    assert source.fields["label"].names == SHAPES
    assert source.fields["image"].shape == (16, 16, channels)
    image = source.arrays["image"].astype(float)
    # At least 0.35 of the range between shape and ground, with ripples of +-0.1.
    spread = np.percentile(image, 95, axis=(1, 2)) - np.percentile(
        image, 5, axis=(1, 2)
    )
    assert spread.max(-1).min() > 0.15 * 255


def test_wrong_settings_are_refused():
    for settings in (
        {"num_classes": 9},
        {"num_examples": 3},
        {"size": 2},
        {"split": "nope"},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} = "):
            synthetic(**settings)
