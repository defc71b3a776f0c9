"""What a method and its encoder show of a few examples, as the report draws it."""

import jax
import numpy as np
import pytest

from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.run.report import SHOWN, Look, _filters, _shown
from jax_ssl.run.run import Run

VIT = (
    "encoder={'name': 'vit', 'dim': 8, 'depth': 1, 'num_heads': 2, 'patch': 2, "
    "'image_size': 8, 'registers': 1}"
)
GREY = "'mean': (0.4,), 'std': (0.5,)"
VIEW = "evals.view={'name': 'identity', " + GREY + "}"


def drawn(tmp_path, *changes):
    """{title: pictures} of a fresh network, and the images that are looked at."""
    page = override(load_page("configs/simclr_digits.py"), changes)
    experiment = Experiment(resolved(page), devices=jax.devices()[:1])
    run = Run(experiment, tmp_path)
    with jax.set_mesh(experiment.mesh):
        found = dict(_shown(Look(run), run.program.start(jax.random.key(0))))
    rows = np.linspace(0, len(experiment.source) - 1, SHOWN).astype(int)
    return found, experiment.source[rows]["image"] / 255


def test_a_run_shows_what_its_vit_looks_at(tmp_path):
    found, images = drawn(tmp_path, VIT, VIEW)
    (title, pictures), *others = found.items()
    assert (title, others) == ("Attention", [])
    image, kept, *heads = pictures.columns
    np.testing.assert_allclose(image.values, images, atol=1e-6)
    assert [head.head for head in heads] == ["head 1", "head 2"]
    assert all(head.kind == "heat" for head in heads)
    # Squares of 2 x 2 pixels are whole: as the image, or the recipe's mean.
    maps = np.mean([head.values for head in heads], axis=0)
    assert maps.shape == (SHOWN, 8, 8)
    np.testing.assert_array_equal(maps[:, ::2, ::2], maps[:, 1::2, 1::2])
    # The class token and the register have a share of the attention, too.
    np.testing.assert_array_less(maps[:, ::2, ::2].sum((1, 2)), 1)
    for picture, shown, weight in zip(images, kept.values, maps, strict=True):
        there = np.isclose(shown, picture, atol=1e-6)
        assert (there | np.isclose(shown, 0.4, atol=1e-6)).all()
        order = np.sort(weight[::2, ::2].ravel())[::-1]
        mass = order.cumsum() / order.sum()
        fewest = 1 + int(np.searchsorted(mass, 0.6 - 1e-6))
        least = order[fewest - 1] - 1e-7
        top = weight >= least
        np.testing.assert_allclose(shown[top], picture[top], atol=1e-6)
        np.testing.assert_allclose(shown[~top], 0.4, atol=1e-6)


def test_a_run_shows_the_patches_that_it_fills_in(tmp_path):
    found, images = drawn(
        tmp_path,
        VIT,
        "method={'name': 'mae', 'decoder_width': 8, 'decoder_depth': 1, "
        "'decoder_heads': 2, 'norm_pix': True}",
        "views={'name': 'mae', 'size': 8, " + GREY + "}",
        VIEW,
    )
    assert list(found) == ["Hidden patches, filled in", "Attention"]
    pictures = found["Hidden patches, filled in"]
    original, *parts = pictures.columns
    np.testing.assert_allclose(original.values, images, atol=1e-6)
    # 95 % of 16 patches leave none.
    groups = dict.fromkeys(part.group for part in parts)
    assert list(groups) == ["75% hidden", "85% hidden"]
    assert [part.head for part in parts[:3]] == ["visible", "predicted", "pasted"]
    masks = []
    for visible, predicted, pasted in (parts[:3], parts[3:]):
        mask = np.abs(visible.values - original.values) > 1e-6
        masks.append(mask)
        assert predicted.values.min() >= 0
        assert predicted.values.max() <= 1
        np.testing.assert_allclose(
            pasted.values, np.where(mask, predicted.values, original.values), atol=1e-5
        )
        assert np.unique(visible.values[mask].round(5)).size == 1
    # At most so many pixels differ: a hidden one may have the colour of the cover.
    assert 0 < masks[0].sum() <= 6 * 12 * 4
    assert masks[0].sum() < masks[1].sum() <= 6 * 14 * 4
    assert not (masks[0] & ~masks[1]).any()  # What 75 % hide, 85 % hide too.
    assert "Trained with 75% of the patches hidden" in pictures.caption
    assert "did not know" in pictures.caption  # The mean of each patch.


def test_a_run_names_and_scales_what_teacher_and_student_say(tmp_path):
    """A fresh head says 1/10 of all ten digits, and its teacher is its copy."""
    (title, pictures), *others = drawn(
        tmp_path,
        "method={'name': 'mean_teacher', 'num_classes': 10, 'first_std': 0.0}",
        "views={'name': 'supervised', 'size': 8, 'num_views': 2, " + GREY + "}",
        VIEW,
    )[0].items()
    assert (title, others) == ("Teacher and student", [])
    image, teacher, student, difference = pictures.columns
    assert len(image.words) == SHOWN
    assert {*image.words} <= {*"0123456789"}
    for column in (teacher, student):
        assert (column.kind, column.group) == ("probabilities", "probabilities")
        np.testing.assert_allclose(column.values, 0.1, atol=1e-6)
        assert column.full == pytest.approx(0.1)
        assert [words.count("10.0") for words in column.words] == [3] * SHOWN
    assert student.agrees == [True] * SHOWN
    assert not teacher.agrees
    assert difference.values.max() < 1e-6
    assert "full height is 10.0\xa0%" in pictures.caption


def test_convnets_and_methods_without_pictures_show_nothing(tmp_path):
    assert drawn(tmp_path)[0] == {}


def test_a_run_shows_the_filters_of_its_first_layer(tmp_path):
    """All 3 x 3 weights of 24 filters, 12 in a row, each over its own range."""
    experiment = Experiment(
        resolved(load_page("configs/simclr_digits.py")), devices=jax.devices()[:1]
    )
    run = Run(experiment, tmp_path)
    with jax.set_mesh(experiment.mesh):
        train = run.program.start(jax.random.key(0))
        ((title, pictures),) = _filters(Look(run), train)
    assert title == "Filters of the first layer"
    kernel = np.asarray(train.params["encoder"]["conv0"]["kernel"])
    assert len(pictures.columns) == 12
    shown = np.stack([column.values for column in pictures.columns], axis=1)
    flat = shown.reshape(-1, *kernel.shape[:3])
    count = kernel.shape[-1]
    for i in range(count):
        own = kernel[..., i]
        expected = (own - own.min()) / (own.max() - own.min())
        np.testing.assert_allclose(flat[i], expected, atol=1e-6)
    assert (flat[count:] == 1).all()
    assert f"{count} of {count} filters" in pictures.caption
