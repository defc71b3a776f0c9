import jax
import numpy as np

from jax_ssl.commands.attention import DIMMED, attention
from jax_ssl.config import build, load_page, override, resolved


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
    image, kept, *heads = found.columns
    np.testing.assert_allclose(image.values, run.source[rows]["image"] / 255, atol=1e-6)
    assert [head.head for head in heads] == ["head 1", "head 2"]
    assert all(head.kind == "heat" for head in heads)
    # Patches are whole: as bright as the image, or dim; and both are there.
    maps = np.mean([head.values for head in heads], axis=0)
    assert maps.shape == (6, 4, 4)
    for picture, shown, map_ in zip(image.values, kept.values, maps, strict=True):
        bright = np.isclose(shown, picture) | np.isclose(picture, 0)
        dim = np.isclose(shown, DIMMED * picture)
        assert (bright | dim).all()
        top = np.unravel_index(map_.argmax(), (4, 4))
        patch = np.s_[2 * top[0] : 2 * top[0] + 2, 2 * top[1] : 2 * top[1] + 2]
        np.testing.assert_allclose(shown[patch], picture[patch])
        assert not np.allclose(shown, picture)


def test_convnets_have_no_such_picture():
    run = experiment()
    assert attention(run, None, run.source) is None
