"""Two sources as one: rows, classes by their names, and what is corrupt."""

import dataclasses

import numpy as np
import pytest

from jax_ssl.data.arrays import arrays
from jax_ssl.data.identity import identity
from jax_ssl.data.joined import joined
from jax_ssl.data.source import CorruptExamples


def source(first, labels, names=None):
    count = len(labels)
    image = np.arange(first, first + count, dtype=np.uint8)[:, None, None, None]
    image = np.broadcast_to(image, (count, 2, 2, 1))
    made = arrays({"image": image, "label": np.asarray(labels)})
    label = dataclasses.replace(made.fields["label"], names=names)
    return dataclasses.replace(made, fields={**made.fields, "label": label})


def test_rows_follow_and_classes_go_by_name():
    both = joined(source(0, [0, 1, 2], "abc"), source(3, [0, 1], "cb"))
    found = both[np.array([4, 0, 3, 2])]
    np.testing.assert_array_equal(found["image"][:, 0, 0, 0], [4, 0, 3, 2])
    np.testing.assert_array_equal(found["label"], [1, 0, 2, 2])
    np.testing.assert_array_equal(found["index"], [4, 0, 3, 2])
    assert set(both.keep(["label"])[np.array([4])]) == {"label", "index"}
    told = [
        identity(joined(source(0, [0]), source(n, [1])))["digest"] for n in (1, 1, 2)
    ]
    assert told[0] == told[1] != told[2]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'d'"):
        joined(source(0, [0, 1], "ab"), source(0, [0], "d"))
    images = np.zeros((2, 3, 2, 1), np.uint8)
    other = arrays({"image": images, "label": np.zeros(2, np.int32)})
    with pytest.raises(ValueError, match="the field 'image'"):
        joined(source(0, [0]), other)


def test_corrupt_rows_have_their_place_in_the_whole():
    class Broken:
        def __len__(self):
            return 2

        def __getitem__(self, rows):
            raise CorruptExamples({int(rows[0]): "broken"})

    first = source(0, [0, 1, 1])
    both = dataclasses.replace(
        joined(first, source(3, [0, 1])), parts=(first, Broken())
    )
    with pytest.raises(CorruptExamples) as told:
        both.read(np.array([0, 4]))
    assert told.value.reasons == {4: "broken"}
