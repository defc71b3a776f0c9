"""DINOv2's distillation from a larger frozen teacher (section 5 of its paper)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.images import plain_crops
from tests.leaves import assert_equal, assert_near, assert_same_kind
from tests.methods.beginnings import begun
from tests.methods.crops import VIT, assert_close, random_crops
from tests.methods.test_dinov2 import (
    KEY,
    SETTINGS,
    assert_losses,
    evaluated,
    scores_of,
)
from tests.references import distillation as reference

# Other widths and depth than the student's; registers are the teacher's own matter.
LARGER = {**VIT, "dim": 32, "depth": 2, "registers": 2, "mask_token": True}


def make_encoder(section):
    settings = dict(section)
    return ENCODERS[settings.pop("name")](**settings)


def distilled(views, student=VIT, teacher=LARGER, **settings):
    """(method, params, state), the centres and the average being nothing special."""
    method = METHODS["dinov2_distillation"](
        make_encoder(student),
        plain_crops,
        make_encoder,
        teacher=teacher,
        **{**SETTINGS, **settings},
    )
    params, state = begun(method, jax.random.key(0), views)
    rng = np.random.default_rng(1)
    draw = lambda like: rng.normal(0, 0.3, like.shape).astype(np.float32)
    state = state._replace(
        center=draw(state.center),
        patch_center=draw(state.patch_center),
        average=jax.tree.map(lambda leaf: np.asarray(leaf) + 1, state.average),
    )
    return method, params, state


@pytest.fixture(scope="module")
def views():
    return random_crops(np.random.default_rng(0))


def scores(encoder, params, x):
    """Scores [N, K] and [N, 16, K'] of images, and their tokens [N, D]."""
    features = encoder.apply({"params": params["encoder"]}, x, train=False)
    patches = features.grid.reshape(len(x), -1, features.grid.shape[-1])
    return (
        scores_of("images", params, features.pooled),
        scores_of("patches", params, patches),
        features.pooled,
    )


def test_loss_and_gradient_are_the_reference(views):
    method, params, state = distilled(views, centering="center")
    (value, (after, metrics)), gradient = evaluated(method, params, state, views)
    crops = views["global"].reshape(-1, 8, 8, 3)
    taught, taught_patches, _ = (
        np.asarray(x, np.float64)
        for x in jax.jit(functools.partial(scores, make_encoder(LARGER)))(
            state.teacher.params, crops
        )
    )
    center, patch_center = (
        np.asarray(c, np.float64) for c in (state.center, state.patch_center)
    )
    targets = reference.sharpened(taught, center, 0.07)
    patch_targets = reference.sharpened(taught_patches, patch_center, 0.07)

    @jax.jit
    def look(params):
        encoder = make_encoder(VIT)
        wide, patches, tokens = scores(encoder, params, crops)
        narrow, _, _ = scores(encoder, params, views["local"].reshape(-1, 4, 4, 3))
        rows = [wide.reshape(6, 2, -1), narrow.reshape(6, 3, -1)]
        return jnp.concatenate(rows, axis=1), patches, tokens.reshape(6, 2, -1)

    said, pull = jax.vjp(look, params)
    # All patches count, of every global crop.
    every = np.ones(patch_targets.shape[:2], bool)
    assert_losses(value, metrics, gradient, said, pull, targets, patch_targets, every)
    wanted = 0.8 * patch_center + 0.2 * taught_patches.mean((0, 1))
    assert_close(after.patch_center, wanted)


def test_teacher_stays_and_the_average_follows(views):
    method, params, state = distilled(views, momentum=0.75)
    _, (after, _) = jax.jit(
        lambda p, s: method.loss(p, s, views, key=KEY, step=jnp.int32(0))
    )(params, state)
    moved = jax.jit(method.update)(params, after, step=jnp.int32(1))[1]
    assert_equal(moved.teacher, state.teacher)
    wanted = jax.tree.map(
        lambda old, new: 0.75 * old + 0.25 * np.asarray(new),
        state.average.params,
        params,
    )
    assert_near(moved.average.params, wanted, 1e-6)
    exported = {name: export(params, moved) for name, export in method.exports.items()}
    assert_equal(exported["encoder"], {"params": moved.average.params["encoder"]})
    # What it exports as a teacher can teach in turn.
    assert_equal(exported["teacher"], {"params": moved.average.params})


def test_the_file_of_a_teacher_fills_it_and_must_be_given(views):
    method, params, state = distilled(views)
    assert set(method.loads) == {"encoder", "teacher"}
    load = method.loads["teacher"]
    assert load.required
    other = jax.tree.map(lambda x: np.asarray(x) + 1, load.take(params, state))
    same, filled = load.fill(params, state, other)
    assert_equal(same, params)
    assert_equal(filled.teacher.params, other["params"])
    assert_equal(filled.average, state.average)
    # A run of DINOv2 with such an encoder writes this file.
    encoder = make_encoder(LARGER)
    run = METHODS["dinov2"](encoder, plain_crops, **SETTINGS)
    its_params, its_state = jax.eval_shape(run.init, KEY, views)
    assert_same_kind(run.exports["teacher"](its_params, its_state), other)


def test_student_misses_neither_patches_nor_paths(views):
    """Its loss is the same whatever the key."""
    method, params, state = distilled(views, student={**VIT, "drop_path": 0.5})
    assert method.encoder.drop_path == 0
    loss = jax.jit(lambda key: method.loss(params, state, views, key=key, step=0)[0])
    assert loss(jax.random.key(1)) == loss(jax.random.key(2))


def test_teachers_of_other_patches_are_refused(views):
    with pytest.raises(ValueError, match=r"patches of 2 pixels .* teacher's of 4"):
        distilled(views, teacher={**LARGER, "patch": 4})
    with pytest.raises(ValueError, match="two ViTs"):
        distilled(views, teacher={"name": "convnet"})
