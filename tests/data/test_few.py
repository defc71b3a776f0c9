"""A few examples of every class: which ones, and that they are those of the source."""

import dataclasses

import numpy as np
import pytest

from jax_ssl.data.arrays import arrays
from jax_ssl.data.few import few_of_each, partly_labelled
from jax_ssl.data.identity import identity
from jax_ssl.data.source import CorruptExamples

LABELS = np.array([2, 0, 1, 2, 2, 0, 9, 1, 0, 2, 1, 5, 5, 5])


def source(**fields):
    rows = np.arange(len(LABELS))
    image = np.broadcast_to(rows[:, None, None, None], (len(LABELS), 2, 2, 1))
    made = arrays({"image": image.astype(np.uint8), "label": LABELS, **fields})
    # The class 9 is none, as `renumbered` leaves what is unknown.
    known, become = np.unique(LABELS), np.array([0, 1, 2, 5, -1], np.int32)
    return dataclasses.replace(made, numbers={"label": (known, become)})


def test_every_class_has_as_many_and_rows_are_the_sources_own():
    few = few_of_each(source(), 2, seed=0)
    found = few[np.arange(len(few))]
    assert sorted(found["label"]) == [0, 0, 1, 1, 2, 2, 5, 5]
    there = found["image"][:, 0, 0, 0]
    np.testing.assert_array_equal(there, np.sort(there))
    assert len(set(there)) == 8
    np.testing.assert_array_equal(LABELS[there], found["label"])
    # A method's row is that among the chosen ones.
    np.testing.assert_array_equal(found["index"], np.arange(8))
    backwards = few[np.arange(8)[::-1]]
    np.testing.assert_array_equal(backwards["label"], found["label"][::-1])


def test_fewer_are_among_more_and_another_seed_draws_others():
    def rows(count, seed):
        return {*few_of_each(source(), count, seed=seed).rows.tolist()}

    assert rows(1, 3) < rows(2, 3) < rows(3, 3)
    assert rows(2, 3) == rows(2, 3)
    assert len({frozenset(rows(1, seed)) for seed in range(5)}) > 1


def test_fields_and_identity_follow():
    few = few_of_each(source(), 1, seed=0)
    assert set(few.keep(["label"])[np.array([0])]) == {"label", "index"}
    assert set(few.keep(["image"])[np.array([1])]) == {"image", "index"}
    told = [identity(few_of_each(source(), 1, seed=s))["digest"] for s in (0, 0, 1)]
    assert told[0] == told[1] != told[2]
    assert identity(few)["num_examples"] == 4


def test_corrupt_rows_are_named_by_their_own_number():
    few = few_of_each(source(), 1, seed=0)

    class Broken:
        def __getitem__(self, rows):
            raise CorruptExamples({int(few.rows[2]): "torn"})

    object.__setattr__(few, "source", Broken())
    with pytest.raises(CorruptExamples) as caught:
        few[np.array([1, 2])]
    assert caught.value.reasons == {2: "torn"}


def test_what_is_not_there_is_named():
    with pytest.raises(
        ValueError, match=r"class 0 of .* has 3 examples, fewer than lab"
    ):
        few_of_each(source(), 4, seed=0)
    bare = arrays({"image": np.zeros((3, 2, 2, 1), np.uint8)})
    with pytest.raises(
        ValueError, match=r"labels_per_class = 1: .* has no field 'label'"
    ):
        few_of_each(bare, 1, seed=0)


def test_few_labels_stand_before_all_other_images_and_no_other_label_is_seen():
    few, mixed = few_of_each(source(), 2, seed=3), partly_labelled(source(), 2, seed=3)
    everyone = np.arange(len(mixed))
    found = mixed[everyone]
    assert mixed.num_labelled == len(few) == 8
    known = few[np.arange(8)]
    for name in ("image", "label"):
        np.testing.assert_array_equal(found[name][:8], known[name])
    np.testing.assert_array_equal(found["label"][8:], -1)
    assert found["label"].dtype == np.int32
    # Every image once, the others in their order too.
    there = found["image"][:, 0, 0, 0]
    assert sorted(there) == list(range(len(LABELS)))
    assert list(there[8:]) == sorted(there[8:])
    # Whatever is asked for, and in whichever order.
    alone = mixed.keep(["label"])[everyone[::-1]]["label"]
    np.testing.assert_array_equal(alone[::-1], found["label"])
    assert set(mixed.keep(["image"])[everyone]) == {"image", "index"}


def test_without_a_number_all_that_have_a_label_keep_it():
    mixed = partly_labelled(source(), None, seed=0)
    labels = mixed[np.arange(len(mixed))]["label"]
    assert mixed.num_labelled == 13  # All but the one of the class 9.
    assert labels[:13].min() >= 0
    assert list(labels[13:]) == [-1]
    whole = arrays({"image": np.zeros((3, 2, 2, 1), np.uint8), "label": [0, 1, 0]})
    with pytest.raises(ValueError, match=r"all 3 examples .* feed.labels_per_class"):
        partly_labelled(whole, None, seed=0)


def test_the_choice_of_labels_is_part_of_the_identity():
    def told(count, seed):
        return identity(partly_labelled(source(), count, seed=seed))["digest"]

    assert told(1, 0) == told(1, 0)
    assert len({told(1, 0), told(1, 1), told(2, 0)}) == 3
