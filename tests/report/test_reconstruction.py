import io

import jax
import numpy as np
import pytest
from PIL import Image

from jax_ssl.commands.reconstruction import reconstructions
from jax_ssl.config import build, load_page, override, resolved
from jax_ssl.report import ReportInputs, write_report
from jax_ssl.report.inputs import Filled, Reconstructions
from jax_ssl.report.pictures import GAP, TILE, tile
from jax_ssl.report.reconstruction import HIDDEN, reconstruction_grid
from tests.report.inputs import images

HEAD = 66


@pytest.fixture
def found(rng):
    masks = rng.uniform(size=(2, 3, 8, 8, 1)) < 0.75
    filled = {
        share: Filled(mask, images(rng, 3, 8, 8, 3))
        for share, mask in zip((0.75, 0.95), masks, strict=True)
    }
    return Reconstructions(images(rng, 3, 8, 8, 3), filled, 0.75, norm_pix=True)


def tiles(png, row, breaks=(1, 4)):
    """The tiles of a row of a sheet, [columns, TILE, TILE, 3]."""
    sheet = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    top = HEAD + row * (TILE + GAP) + GAP // 2
    lefts = [
        GAP + c * (TILE + GAP) + GAP * sum(c >= at for at in breaks) for c in range(7)
    ]
    return [sheet[top : top + TILE, at : at + TILE, :3] for at in lefts]


def test_visible_patches_are_the_original_and_the_rest_is_not(found):
    drawn = reconstruction_grid(found)
    for row in range(3):
        original, *rest = tiles(drawn.png, row)
        np.testing.assert_array_equal(original, tile(found.images[row]))
        for i, (mask, prediction) in enumerate(found.filled.values()):
            visible, predicted, pasted = rest[3 * i : 3 * i + 3]
            hidden = tile(mask[row].astype(np.uint8))[..., 0] == 1
            assert (visible[hidden] == round(255 * HIDDEN)).all()
            np.testing.assert_array_equal(predicted, tile(prediction[row]))
            np.testing.assert_array_equal(pasted[hidden], predicted[hidden])
            for seen in (visible, pasted):
                np.testing.assert_array_equal(seen[~hidden], original[~hidden])


def test_borrowed_means_are_said(found):
    assert "did not know" in reconstruction_grid(found).caption
    alone = reconstruction_grid(found._replace(norm_pix=False)).caption
    assert "75 % of the patches hidden" in alone
    assert "did not know" not in alone


def test_page_has_the_section_only_where_there_is_something(found, tmp_path):
    title = "Hidden patches, filled in"
    inputs = ReportInputs(title="", reconstructions=found)
    assert title in write_report(tmp_path / "a", inputs).read_text()
    assert (tmp_path / "a" / "reconstructions.png").is_file()
    nothing = found._replace(filled={})
    for inputs in (
        ReportInputs(title="", reconstructions=nothing),
        ReportInputs(title=""),
    ):
        assert title not in write_report(tmp_path / "b", inputs).read_text()


def experiment(*changes):
    page = override(load_page("configs/simclr_digits.py"), changes)
    return build(resolved(page), devices=jax.devices()[:1])


def test_a_run_is_shown_its_own_images():
    run = experiment(
        "encoder={'name': 'vit', 'dim': 8, 'depth': 1, 'num_heads': 2, 'patch': 2, "
        "'image_size': 8}",
        "method={'name': 'mae', 'decoder_width': 8, 'decoder_depth': 1, "
        "'decoder_heads': 2, 'norm_pix': False}",
        "views={'name': 'mae', 'size': 8, 'mean': (0.4,), 'std': (0.5,)}",
        "evals.view={'name': 'identity', 'mean': (0.4,), 'std': (0.5,)}",
    )
    with jax.set_mesh(run.mesh):
        views = jax.numpy.zeros((2, 8, 8, 1))
        params, _ = jax.jit(run.method.init)(jax.random.key(0), views)
        found = reconstructions(run, params, run.source)
    rows = np.linspace(0, len(run.source) - 1, 6).astype(int)
    wanted = run.source[rows]["image"] / 255
    np.testing.assert_allclose(found.images, wanted, atol=1e-6)
    assert list(found.filled) == [0.75, 0.85]  # 95 % of 16 patches leave none.
    assert (found.trained_at, found.norm_pix) == (0.75, False)
    masks = [mask for mask, _ in found.filled.values()]
    assert [int((~mask).sum()) for mask in masks] == [6 * 4 * 4, 6 * 2 * 4]
    assert not (masks[0] & ~masks[1]).any()  # What 75 % hide, 85 % hide too.
    for _, prediction in found.filled.values():
        assert prediction.min() >= 0
        assert prediction.max() <= 1


def test_methods_that_hide_nothing_have_no_picture():
    run = experiment()
    assert reconstructions(run, None, run.source) is None
