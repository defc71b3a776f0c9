import jax
import numpy as np

from jax_ssl.commands.reconstruction import HIDDEN, reconstructions
from jax_ssl.config import build, load_page, override, resolved


def experiment(*changes):
    page = override(load_page("configs/simclr_digits.py"), changes)
    return build(resolved(page), devices=jax.devices()[:1])


def test_a_run_is_shown_its_own_images():
    run = experiment(
        "encoder={'name': 'vit', 'dim': 8, 'depth': 1, 'num_heads': 2, 'patch': 2, "
        "'image_size': 8}",
        "method={'name': 'mae', 'decoder_width': 8, 'decoder_depth': 1, "
        "'decoder_heads': 2, 'norm_pix': True}",
        "views={'name': 'mae', 'size': 8, 'mean': (0.4,), 'std': (0.5,)}",
        "evals.view={'name': 'identity', 'mean': (0.4,), 'std': (0.5,)}",
    )
    with jax.set_mesh(run.mesh):
        views = jax.numpy.zeros((2, 8, 8, 1))
        params, _ = jax.jit(run.method.init)(jax.random.key(0), views)
        found = reconstructions(run, params, run.source)
    rows = np.linspace(0, len(run.source) - 1, 6).astype(int)
    original, *parts = found.columns
    wanted = run.source[rows]["image"] / 255
    np.testing.assert_allclose(original.values, wanted, atol=1e-6)
    # 95 % of 16 patches leave none.
    assert list(dict.fromkeys(part.group for part in parts)) == [
        "75% hidden",
        "85% hidden",
    ]
    assert [part.head for part in parts[:3]] == ["visible", "predicted", "pasted"]
    masks = []
    for visible, predicted, pasted in (parts[:3], parts[3:]):
        mask = visible.values == HIDDEN
        masks.append(mask)
        assert predicted.values.min() >= 0
        assert predicted.values.max() <= 1
        np.testing.assert_array_equal(
            pasted.values, np.where(mask, predicted.values, original.values)
        )
        np.testing.assert_array_equal(visible.values[~mask], original.values[~mask])
    assert [int((~mask).sum()) for mask in masks] == [6 * 4 * 4, 6 * 2 * 4]
    assert not (masks[0] & ~masks[1]).any()  # What 75 % hide, 85 % hide too.
    assert "Trained with 75% of the patches hidden" in found.caption
    assert "did not know" in found.caption  # The mean of each patch.


def test_methods_that_hide_nothing_have_no_picture():
    run = experiment()
    assert reconstructions(run, None, run.source) is None
