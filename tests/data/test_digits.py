import numpy as np
import pytest
from sklearn.datasets import load_digits

from jax_ssl.data.digits import _read, digits


def test_splits_share_the_digits_out_by_class():
    train, test, everything = (digits(split=s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (1437, 360, 1797)
    shares = np.bincount(test.arrays["label"]) / np.bincount(everything.arrays["label"])
    assert abs(shares - 0.2).max() < 0.005
    images = [
        {each.tobytes() for each in part.arrays["image"]} for part in (train, test)
    ]
    assert not images[0] & images[1]  # All 1,797 images differ.


def test_pixels_can_be_mapped_back_to_the_sixteen_counts():
    source, data = digits(split="all"), load_digits()
    counts = np.rint(source.arrays["image"][..., 0] / 255 * 16)
    np.testing.assert_array_equal(counts, data.images)
    np.testing.assert_array_equal(source.arrays["label"], data.target)
    assert source.fields["image"].shape == (8, 8, 1)
    assert source.fields["label"].names == tuple("0123456789")


def test_the_split_never_changes():
    # The first rows of test in scikit-learn's numbering, and pixels' 1-NN accuracy.
    test, train = digits(split="test"), digits(split="train")
    whole = load_digits().images
    first = [
        int((whole == np.rint(i[..., 0] / 255 * 16)).all((1, 2)).argmax())
        for i in test.arrays["image"][:5]
    ]
    assert first == [2, 10, 12, 13, 25]
    a, b = (s.arrays["image"].reshape(len(s), -1).astype(float) for s in (test, train))
    nearest = ((a[:, None] - b[None]) ** 2).sum(-1).argmin(1)
    assert (
        train.arrays["label"][nearest] == test.arrays["label"]
    ).sum() == 353  # 98.06 %


def test_unknown_split_is_refused():
    with pytest.raises(
        ValueError, match="split = 'valid' must be one of 'train', 'test'"
    ):
        digits(split="valid")


def test_the_file_holds_what_scikit_learn_reads_from_it():
    theirs = load_digits()
    counts, labels = _read()
    np.testing.assert_array_equal(counts, theirs.images)
    np.testing.assert_array_equal(labels, theirs.target)
