import io

import jax
import numpy as np
import pytest
from PIL import Image

from jax_ssl.commands.attention import attention
from jax_ssl.config import build, load_page, override, resolved
from jax_ssl.report import ReportInputs, write_report
from jax_ssl.report.attention import DIMMED, attention_grid
from jax_ssl.report.inputs import Attention
from jax_ssl.report.pictures import GAP, TILE, tile
from tests.report.inputs import images


@pytest.fixture
def found(rng):
    maps = rng.exponential(size=(2, 3, 4, 4)).astype(np.float32)
    return Attention(images(rng, 2, 8, 8, 3), maps, maps[:, 0] > 1, 0.6)


def test_what_is_kept_is_bright_and_the_rest_is_dim(found):
    drawn = attention_grid(found)
    sheet = np.asarray(Image.open(io.BytesIO(drawn.png)).convert("RGBA"))
    assert sheet.shape[1] == GAP + 5 * (TILE + GAP) + 2 * GAP
    top, second = 34 + GAP // 2, GAP + (TILE + GAP) + GAP
    got = sheet[top : top + TILE, second : second + TILE, :3]
    kept = found.kept[0].repeat(2, 0).repeat(2, 1)[..., None]
    wanted = np.where(kept, found.images[0], DIMMED * found.images[0])
    np.testing.assert_array_equal(got, tile(wanted))
    third = second + TILE + 2 * GAP
    heat = sheet[top : top + TILE, third : third + TILE, :3].astype(int).sum(-1)
    most = np.unravel_index(heat.argmax(), heat.shape)
    place = tuple(int(at) * 4 // TILE for at in most)
    assert place == np.unravel_index(found.maps[0, 0].argmax(), (4, 4))


def test_heads_that_are_not_shown_are_said(found):
    many = found._replace(maps=found.maps.repeat(4, axis=1))
    assert "first 6 of 12 heads" in attention_grid(many).caption
    assert "heads are shown" not in attention_grid(found).caption


def test_page_has_the_section_only_where_there_is_something(found, tmp_path):
    inputs = ReportInputs(title="", attention=found)
    assert "<h2>Attention</h2>" in write_report(tmp_path / "a", inputs).read_text()
    assert (tmp_path / "a" / "attention.png").is_file()
    page = write_report(tmp_path / "b", ReportInputs(title=""))
    assert "<h2>Attention</h2>" not in page.read_text()


def experiment(*changes):
    page = override(load_page("configs/simclr_digits.py"), changes)
    return build(resolved(page), devices=jax.devices()[:1])


def test_a_run_is_shown_what_its_vit_looks_at():
    run = experiment(
        "encoder={'name': 'vit', 'dim': 8, 'depth': 1, 'num_heads': 2, 'patch': 2, "
        "'image_size': 8, 'registers': 1}",
    )
    with jax.set_mesh(run.mesh):
        views = jax.numpy.zeros((2, 2, 8, 8, 1))
        params, state = jax.jit(run.method.init)(jax.random.key(0), views)
        variables = run.method.export(params, state)
        found = attention(run, variables, run.source)
    rows = np.linspace(0, len(run.source) - 1, 6).astype(int)
    np.testing.assert_allclose(found.images, run.source[rows]["image"] / 255, atol=1e-6)
    assert found.maps.shape == (6, 2, 4, 4)
    assert found.kept.shape == (6, 4, 4)
    assert ((found.kept.sum((1, 2)) > 0) & (found.kept.sum((1, 2)) < 16)).all()


def test_convnets_have_no_such_picture():
    run = experiment()
    assert attention(run, None, run.source) is None
