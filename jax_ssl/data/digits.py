"""The 8 x 8 handwritten digits that come with scikit-learn; no download.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998: the
1,797 images of its test set, 8 x 8 counts of ink from 0 to 16.
"""

import importlib.util
import pathlib

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.arrays import Arrays, arrays
from jax_ssl.data.order import permutation

TEST_EVERY = 5
# In scikit-learn's folder; a line for each image, its label last.
FILE = pathlib.Path("datasets", "data", "digits.csv.gz")


def digits(*, split: str) -> Arrays:
    """The digits, one channel, the counts 0 ... 16 mapped to round(v * 255 / 16).

    The images are sorted by class, shuffled inside each class with a fixed seed, and
    every fifth of that list is test: 1,437 for training and 360 for testing, the
    classes in proportion (35 to 37 a class in test). Inside a split they keep
    scikit-learn's order.

    Args:
        split: "train", "test", or "all".

    Note:
        The writers of the two splits are the same. Taking the second half of the data
        set as test, as some scikit-learn examples do, separates more of the writers
        and is harder: the nearest neighbour of the pixels, by Euclidean distance, is
        right in 96.1 % there and in 98.1 % here.

    Raises:
        ValueError: for any other split.
    """
    checks.one_of(("train", "test", "all"), split=split)
    counts, labels = _read()
    images = np.rint(counts * 255 / 16).astype(np.uint8)
    shuffled = permutation(0, 0, len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    in_test = np.zeros(len(labels), bool)
    in_test[by_class[::TEST_EVERY]] = True
    keep = {"train": ~in_test, "test": in_test, "all": in_test | True}[split]
    return arrays(
        {"image": images[keep], "label": labels[keep]},
        label_names=tuple("0123456789"),
        name=f"digits {split}",
    )


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Counts [1797, 8, 8] and labels [1797] int32.

    The file is read without scikit-learn, whose import would take as long as JAX's.
    """
    found = importlib.util.find_spec("sklearn")
    folders = found.submodule_search_locations if found else None
    file = pathlib.Path(folders[0]) / FILE if folders else FILE
    if file.is_file():
        table = np.loadtxt(file, delimiter=",")
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int32)
    from sklearn.datasets import load_digits  # Wherever that version keeps them.

    data = load_digits()
    return data.images, data.target.astype(np.int32)
