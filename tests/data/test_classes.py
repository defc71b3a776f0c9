"""One list of class names for all parts, whatever they are stored in."""

import numpy as np
import pytest
from PIL import Image

from jax_ssl.core.fields import Field
from jax_ssl.data.arrays import arrays, npz
from jax_ssl.data.classes import check_labels, renumbered
from jax_ssl.data.folder import folder
from jax_ssl.data.tfds import tfds
from tests.data.prepared import write_dataset

KNOWN = ("ant", "bee", "cow")
PIXELS = np.zeros((4, 4, 3), np.uint8)
STORES = ["folder", "npz of words", "npz with names", "tfds"]


def stored(kind, root, words):
    """A source of one example for each word, and the words in the order of its rows."""
    names = sorted(set(words))
    images = np.stack([PIXELS] * len(words))
    if kind == "folder":
        for row, word in enumerate(words):
            (root / word).mkdir(exist_ok=True, parents=True)
            Image.fromarray(PIXELS).save(root / word / f"{row}.png")
        return folder(path=str(root), labels="folders", canvas=4), sorted(words)
    root.mkdir()
    if kind == "tfds":
        features = pytest.importorskip("tensorflow_datasets").features
        described = features.FeaturesDict(
            {
                "image": features.Image(shape=(4, 4, 3), encoding_format="png"),
                "label": features.ClassLabel(names=names[::-1]),
            }
        )
        examples = [{"image": PIXELS, "label": word} for word in words]
        write_dataset(root, described, {"part": [examples]})
        return tfds(dataset="toy", data_dir=str(root), split="part"), words
    if kind == "npz of words":
        np.savez(root / "a.npz", x_part=images, y_part=np.array(words).astype("S"))
    else:
        numbers = np.array([names[::-1].index(word) for word in words])
        np.savez(root / "a.npz", x_part=images, y_part=numbers, class_names=names[::-1])
    return npz(path=str(root / "a.npz"), split="part"), words


def labels(source):
    return source[np.arange(len(source))]["label"].tolist()


@pytest.fixture
def ruling(tmp_path):
    return stored("folder", tmp_path / "train", KNOWN)[0].fields


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(
    "words", [["cow", "ant", "ant", "cow"], ["bee"], ["cow", "bee", "ant", "bee"]]
)
def test_the_names_decide_whatever_classes_a_part_has(tmp_path, ruling, kind, words):
    part, words = stored(kind, tmp_path / "test", words)
    made, said = renumbered(part, ruling)
    right = [KNOWN.index(word) for word in words]
    assert labels(made) == labels(made.keep(["label"])) == right
    assert made.keep(["label"]).fields["label"].names == KNOWN
    lacks = [word for word in KNOWN if word not in words]
    assert [repr(word) in line for line in said for word in lacks] == [True] * len(
        lacks
    )


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ant", "dog", "cow"], r"the class 'dog', not among .*'ant', 'bee', 'cow'\."),
        (["ant", "Bee"], r"the class 'Bee', not among .*; is it 'bee'\?"),
        (["owl", "ant", "emu"], r"the 2 classes '\w+', '\w+', not among"),
    ],
)
def test_unknown_classes_are_refused_by_name_or_asked_for(
    tmp_path, ruling, kind, words, message
):
    part, words = stored(kind, tmp_path / "test", words)
    with pytest.raises(ValueError, match=message) as caught:
        renumbered(part, ruling)
    assert "config.evals.unknown_classes to 'drop'" in str(caught.value)
    dropped, said = renumbered(part, ruling, unknown="drop")
    assert "Such examples are left out." in said[0]
    right = [KNOWN.index(word) if word in KNOWN else -1 for word in words]
    assert labels(dropped) == right
    kept, _ = renumbered(part, ruling, unknown="keep")
    names = kept.fields["label"].names
    assert [names[label] for label in labels(kept)] == words
    assert names[:3] == KNOWN


def made(label, **more):
    image = np.stack([PIXELS] * len(label))
    return arrays({"image": image, "label": np.array(label)}, name="made", **more)


def test_numbers_without_names_are_those_of_the_training_part(ruling):
    part, said = renumbered(made([2, 0, 2]), ruling)
    assert labels(part) == [2, 0, 2]
    assert part.fields["label"].names == KNOWN
    assert "have no names; their numbers are taken for those" in said[0]
    with pytest.raises(ValueError, match="the class '40', not among"):
        renumbered(made([2, 0, 40]), ruling)
    kept, _ = renumbered(made([2, 2_000_000_000, 0]), ruling, unknown="keep")
    assert labels(kept) == [2, 3, 0]
    same, said = renumbered(made([0, 1], label_names=["x", "y"]), made([0, 1]).fields)
    assert labels(same) == [0, 1]
    assert "have names, and none in the training part" in said[0]


def test_numbers_that_the_training_part_lacks_are_refused_or_asked_for():
    train = made([0, 7, 1, 300_000])
    part, said = renumbered(made([7, 0]), train.fields, part=train)
    assert labels(part) == [7, 0]
    assert said == []
    strange = made([2, 7, 300_001])
    with pytest.raises(ValueError, match=r"2 classes '2', '300001', not .* '0', '1'"):
        renumbered(strange, train.fields, part=train)
    part, said = renumbered(strange, train.fields, part=train, unknown="drop")
    assert labels(part) == [-1, 7, -1]
    assert "Such examples are left out" in said[0]
    part, _ = renumbered(strange, train.fields, part=train, unknown="keep")
    assert labels(part) == [2, 7, 300_001]


def test_lists_that_cannot_be_matched_are_refused(ruling):
    with pytest.raises(ValueError, match="two classes have the name 'crane'"):
        renumbered(made([0, 2], label_names=["crane", "ant", "crane"]), ruling)
    mask = lambda *names: Field("mask", (4, 4), np.uint8, names)
    part = made([0])
    part.fields["mask"] = mask("sky", "road")
    with pytest.raises(ValueError, match="mask has the classes 'sky', 'road', and in"):
        renumbered(part, {"mask": mask("road", "sky")})
    assert renumbered(part, {"mask": mask("sky", "road")}) == (part, [])


def test_words_of_an_archive_may_have_an_order_of_their_own():
    words = np.array([["b"], ["c"], ["b"]])
    source = made(words, label_names=["c", "b", "a"])
    assert labels(source) == [1, 0, 1]
    assert source.fields["label"].names == ("c", "b", "a")
    with pytest.raises(ValueError, match="'b' is not among the label_names"):
        made(words, label_names=["c", "a"])


@pytest.mark.parametrize(
    ("label", "num_classes", "message"),
    [
        ([1, 2, 3], 3, r"reach 3 and .* num_classes = 4, or number its 3 different"),
        ([0, 1, 2], 2, r"reach 2 and .* num_classes = 3\.$"),
        ([7, 300_000, 7], 5, r"reach 300000 and .* or number its 2 different ones"),
        (["a", "b", "c"], 2, r"reach 2 \('c'\) and .* num_classes = 3\.$"),
    ],
)
def test_labels_beyond_the_classifier_are_refused(label, num_classes, message):
    with pytest.raises(ValueError, match=message):
        check_labels(made(label), "label", num_classes)


def test_labels_within_the_classifier_pass():
    check_labels(made([0, 2]), "label", 3)
    check_labels(made(["a", "b"]), "label", 3)


def test_an_example_without_a_class_is_no_training_example(ruling):
    part, _ = renumbered(made(["ant", "dog"]), ruling, unknown="drop")
    with pytest.raises(ValueError, match="holds the label -1, which is no class"):
        check_labels(part, "label", 3)
