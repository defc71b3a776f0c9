"""DAVIS as it unpacks, in small, and films that are drawn in its form."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from jax_ssl.config import Experiment, resolved
from jax_ssl.core.fields import VOID
from jax_ssl.data.davis import davis
from jax_ssl.data.source import CorruptExamples
from jax_ssl.data.synthetic_tracks import synthetic_tracks

LENGTHS = {"bear": 3, "camel": 2}


@pytest.fixture
def root(tmp_path, rng):
    """Two films of different sizes; masks are PNGs with a palette."""
    for (name, count), height in zip(LENGTHS.items(), (12, 8), strict=True):
        kinds = "JPEGImages", "Annotations"
        folders = [tmp_path / kind / "480p" / name for kind in kinds]
        for folder in folders:
            folder.mkdir(parents=True)
        for i in range(count):
            pixels = np.full((height, 16, 3), 40 * i, np.uint8)
            Image.fromarray(pixels).save(folders[0] / f"{i:05d}.jpg")
            mask = Image.fromarray(np.full((height, 16), i, np.uint8))
            mask.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
            mask.save(folders[1] / f"{i:05d}.png")
    sets = tmp_path / "ImageSets" / "2017"
    sets.mkdir(parents=True)
    (sets / "val.txt").write_text("camel\nbear\n")
    (sets / "train.txt").write_text("bear\n")
    (sets / "test-dev.txt").write_text("bear\n")
    return tmp_path


def test_frames_stand_film_by_film_in_the_order_of_the_list(root):
    source = davis(path=str(root))
    assert len(source) == 5
    assert source.fields["mask"].shape == (12, 16)
    rows = source[np.arange(5)]
    np.testing.assert_array_equal(rows["sequence"], [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(rows["frame"], [0, 1, 0, 1, 2])
    np.testing.assert_array_equal(rows["size"], [[8, 16]] * 2 + [[12, 16]] * 3)
    for row, (height, i) in enumerate(((8, 0), (8, 1), (12, 0), (12, 1), (12, 2))):
        assert (rows["mask"][row, :height] == i).all()
        assert (rows["mask"][row, height:] == VOID).all()
        assert np.abs(rows["image"][row, :height].astype(int) - 40 * i).max() < 4
    np.testing.assert_array_equal(
        source.keep(["mask"])[np.array([4])]["mask"], rows["mask"][4:]
    )


def test_parts_and_single_films(root):
    assert len(davis(path=str(root), split="train")) == 3
    rows = davis(path=str(root), films=("bear",))[np.arange(3)]
    assert (rows["sequence"] == 1).all()
    assert "mask" not in davis(path=str(root), split="test-dev").fields
    small = davis(path=str(root), canvas=6)[np.array([2])]
    np.testing.assert_array_equal(small["size"], [[4, 6]])


def test_a_mask_in_colours_is_named(root):
    mask = root / "Annotations" / "480p" / "bear" / "00001.png"
    Image.open(mask).convert("RGB").save(mask)
    source = davis(path=str(root), films=("bear",))
    with pytest.raises(CorruptExamples, match=r"00001.jpg: .*mask has the shape"):
        source[np.arange(3)]


def test_what_is_not_there_is_named(root):
    with pytest.raises(FileNotFoundError, match="not a folder"):
        davis(path=str(root / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"test-challenge.txt is not there"):
        davis(path=str(root), split="test-challenge")
    with pytest.raises(ValueError, match="'cow' is not in"):
        davis(path=str(root), films=("cow",))
    with pytest.raises(FileNotFoundError, match="Full-Resolution"):
        davis(path=str(root), resolution="Full-Resolution")
    masks = root / "Annotations" / "480p" / "bear"
    (masks / "00002.png").rename(masks / "00003.png")
    with pytest.raises(ValueError, match=r"frame 00002.jpg, .* mask 00003.png"):
        davis(path=str(root))
    (masks / "00001.png").unlink()
    with pytest.raises(ValueError, match=r"3 frames and .* 2 masks"):
        davis(path=str(root))


def test_drawn_films_have_a_disc_that_moves_as_its_mask_does():
    source = synthetic_tracks(num_films=2, num_frames=4, size=24)
    rows = source[np.arange(8)]
    np.testing.assert_array_equal(rows["sequence"], [0] * 4 + [1] * 4)
    np.testing.assert_array_equal(rows["frame"], [0, 1, 2, 3] * 2)
    for film in (rows["mask"][:4], rows["mask"][4:]):
        sizes = film.sum((1, 2))
        assert sizes.min() > 0.8 * sizes.max() > 0
        columns = [np.nonzero(mask)[1].mean() for mask in film]
        assert (np.diff(columns) < 0).all()  # The camera goes to the right.
    assert source.fields["sequence"].kind == "number"
    with pytest.raises(ValueError, match="1 metre nearer"):
        synthetic_tracks(translation=(0.0, 0.0, 0.3))


def test_the_split_of_the_training_data_is_not_that_of_another_source(root):
    page = ConfigDict()
    page.encoder = {"name": "convnet", "widths": (4,)}
    page.method = {"name": "simclr", "hidden_dim": 4, "output_dim": 4}
    page.views = {"name": "two_crops", "size": 16}
    page.optimizer = {"name": "sgd", "learning_rate": 0.1}
    page.data = {"name": "synthetic", "num_examples": 16, "size": 16, "split": "train"}
    page.feed = {"batch_size": 8}
    moments = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
    page.evals = {"view": {"name": "squeezed", "size": 16, **moments}}
    page.run = {"num_steps": 1}
    experiment = Experiment(resolved(page), devices=jax.devices()[:1])
    films = {"name": "davis", "path": str(root)}
    assert experiment.open(films).name == "davis val"  # Its own default.
    assert experiment.open({**films, "split": "train"}).name == "davis train"
    assert "test" in experiment.open({"split": "test"}).name
