"""Folders of pictures that `jax-ssl infer` must refuse, without a trained run."""

from types import SimpleNamespace

import numpy as np
import pytest

from jax_ssl.augment.films import whole_film
from jax_ssl.data.geometry_files import write_png
from jax_ssl.data.synthetic_scenes import synthetic_scenes
from jax_ssl.run.album import Album
from jax_ssl.run.infer import intrinsics_of, write_predictions


@pytest.fixture
def run():
    """All that an album reads of a run."""
    scenes = synthetic_scenes(num_examples=1, size=(8, 8))
    return SimpleNamespace(
        experiment=SimpleNamespace(everything=scenes, view=whole_film())
    )


@pytest.fixture
def folder(tmp_path):
    write_png(str(tmp_path / "a.png"), np.zeros((8, 12, 3), np.uint8))
    return tmp_path


def test_a_broken_picture_is_named_and_not_replaced(run, folder):
    whole = (folder / "a.png").read_bytes()
    (folder / "b.png").write_bytes(whole[:45])  # Its header says a size.
    album = Album(run, str(folder))
    with pytest.raises(ValueError, match=r"--images: .*b\.png.* take it out of"):
        album.examples(np.array([0]))  # The film of the first picture.


def test_what_is_no_picture_is_named(run, folder):
    (folder / "b.png").write_bytes(b"a page of text")
    with pytest.raises(ValueError, match=r"b\.png: not an image of a format"):
        Album(run, str(folder))


def test_a_single_picture_has_no_flow(run, folder):
    album = Album(run, str(folder))
    with pytest.raises(ValueError, match="one picture, and there is no flow without"):
        write_predictions(run, None, album, folder / "out", ["flow"])


@pytest.mark.parametrize("text", ["0,1,2,3", "1,-1,2,3", "1,nan,2,3", "1,1,inf,3"])
def test_cameras_that_cannot_be_are_refused(text):
    with pytest.raises(ValueError, match=f"--intrinsics={text}: all must be finite"):
        intrinsics_of(text)
