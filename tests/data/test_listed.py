"""Lists of files to keep: which ones, their classes, and lists that do not fit."""

import numpy as np
import pytest

from jax_ssl.data.folder import folder
from tests.data.test_folder import save


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(("a/x_1", "b/y_1", "b/y_2", "c/z_1", "c/z_2")):
        save(tmp_path / "train" / f"{name}.png", (number, 0, 0))
    return tmp_path


def listed(photos, lines, **settings):
    only = photos / "1percent.txt"
    only.write_text(lines)
    return folder(path=str(photos), split="train", only=str(only), **settings)


@pytest.mark.parametrize("form", ["{}.png", "{}", "{}.PNG"])
def test_names_with_and_without_suffix_and_folder_are_found(photos, form):
    words = ["z_2", "y_1", "c/z_1"]
    lines = "\n".join(form.format(word) for word in words) + "\n\n"
    if form.endswith("PNG"):
        with pytest.raises(ValueError, match=r"3 of its 3 names .* 'z_2.PNG'"):
            listed(photos, lines)
        return
    source = listed(photos, lines, canvas=12, labels="folders")
    assert len(source) == 3
    assert source.name.endswith("listed in 1percent.txt")
    rows = source[np.arange(3)]
    assert rows["image"][:, 0, 0, 0].tolist() == [1, 3, 4]
    # The numbers of the whole folder, where class "a" has the first.
    assert rows["label"].tolist() == [1, 2, 2]
    assert source.fields["label"].names == ("a", "b", "c")


def test_lists_that_do_not_fit_are_refused(photos):
    save(photos / "train" / "a" / "y_2.png", (9, 9, 9))
    with pytest.raises(ValueError, match=r"'y_2' is that of 2"):
        listed(photos, "x_1\ny_2\n")
    with pytest.raises(ValueError, match="names no file"):
        listed(photos, "\n \n")
    with pytest.raises(FileNotFoundError, match=r"data\.only = .* is not a file"):
        folder(path=str(photos), only=str(photos / "nowhere.txt"))
    (photos / "1percent.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no text file"):
        folder(path=str(photos), only=str(photos / "1percent.txt"))
