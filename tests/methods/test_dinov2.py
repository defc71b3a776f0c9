"""DINOv2's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.config.bind import bind
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.heads import prototype_head
from jax_ssl.nn.network import Network
from jax_ssl.ops.masks import block_masks
from tests.images import plain_crops
from tests.methods.crops import VIT, assert_close, made, random_crops
from tests.references import distillation as reference

ENCODER = {**VIT, "mask_token": True, "registers": 1}
SETTINGS = {
    "num_prototypes": 12,
    "num_patch_prototypes": 9,
    "hidden_dim": 64,
    "bottleneck_dim": 8,
    "teacher_temperature": 0.07,
    "center_momentum": 0.8,
    "patch_weight": 0.7,
    "koleo_weight": 0.2,
}
# What each of the two heads is made of, and its number of prototypes.
HEADS = {
    "images": ("projector", "prototypes", 12),
    "patches": ("patch_projector", "patch_prototypes", 9),
}
KEY = jax.random.key(1)


def scores_of(head, params, x):
    """Scores [..., K] of tokens [..., D]."""
    projector, prototypes, count = HEADS[head]
    sizes = {"hidden_dim": 64, "bottleneck_dim": 8, "norm_last_layer": False}
    net = Network(**prototype_head(ENCODERS["vit_s"](), count, **sizes))
    own = {"projector": params[projector], "prototypes": params[prototypes]}
    stats = {"projector": {}, "prototypes": {}}
    out, _ = net(own, stats, x.reshape(-1, x.shape[-1]))
    return out["prototypes"].reshape(*x.shape[:-1], count)


@pytest.fixture(scope="module")
def views():
    return random_crops(np.random.default_rng(0))


@functools.cache
def compiled(method):
    loss = functools.partial(method.loss, key=KEY, step=jnp.int32(0))
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def evaluated(method, params, state, views):
    return compiled(method)(params, state, views)


def masks(rows):
    """The masks that the method draws from `KEY`, [N, 16]."""
    key = jax.random.split(KEY, 3)[0]
    return block_masks(key, rows, (4, 4), probability=0.5, ratios=(0.1, 0.5))


def outputs(encoder, params, views, mask):
    """Scores [B, V, K] and [N, 16, K'], and the global crops' tokens [B, 2, D].

    The global crops come first.
    """
    wide = views["global"]
    crops = wide.reshape(-1, *wide.shape[2:])
    apply = functools.partial(encoder.apply, {"params": params["encoder"]}, train=False)
    features = apply(crops, mask)
    tokens = features.pooled.reshape(*wide.shape[:2], -1)
    small = views["local"]
    pooled = apply(small.reshape(-1, *small.shape[2:])).pooled
    rows = jnp.concatenate([tokens, pooled.reshape(*small.shape[:2], -1)], axis=1)
    patches = features.grid.reshape(len(crops), -1, rows.shape[-1])
    said = scores_of("images", params, rows)
    return said, scores_of("patches", params, patches), tokens


def assert_losses(value, metrics, gradient, said, pull, targets, patch_targets, mask):
    """The three losses of what the student says, their sum and its gradient.

    `said` and `pull` are jax.vjp's, of scores [B, V, K] and [N, 16, K'] and the global
    crops' tokens [B, 2, D] as functions of the params.
    """
    class_said, patch_said, tokens = (np.asarray(x, np.float64) for x in said)
    dino, slope, terms = reference.multi_crop(
        class_said / 0.1, targets.reshape(6, 2, -1)
    )
    assert terms == 2 * (5 - 1)
    ibot, patch_slope = reference.masked(patch_said / 0.1, patch_targets, mask)
    koleo = [reference.koleo(tokens[:, v]) for v in range(2)]
    koleo_slope = np.stack(
        [reference.numeric_gradient(reference.koleo, tokens[:, v]) for v in range(2)], 1
    )
    for name, wanted in (("dino", dino), ("ibot", ibot), ("koleo", sum(koleo))):
        np.testing.assert_allclose(metrics[name], wanted, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(value, dino + 0.7 * ibot + 0.2 * sum(koleo), rtol=1e-5)
    slopes = (slope / 0.1, 0.7 * patch_slope / 0.1, 0.2 * koleo_slope)
    (expected,) = pull(tuple(jnp.asarray(x, jnp.float32) for x in slopes))
    assert_close(gradient, expected)


@pytest.mark.parametrize(
    "form", [pytest.param("center", marks=pytest.mark.slow), "sinkhorn", "ibot"]
)
def test_loss_gradient_and_next_centers_are_the_reference(views, form):
    centering = "sinkhorn" if form == "sinkhorn" else "center"
    ibot = {"patch_temperature": 0.05, "patch_center": "all"} if form == "ibot" else {}
    method, params, state = made(
        "dinov2", views, ENCODER, centering=centering, **SETTINGS, **ibot
    )
    (value, (after, metrics)), gradient = evaluated(method, params, state, views)

    mask = np.asarray(masks(12))
    assert 0 < mask.any(1).sum() <= 6
    look = jax.jit(functools.partial(outputs, method.encoder))

    def seen(params, mask):  # One program for both networks.
        return jax.vjp(lambda params: look(params, views, mask), params)

    (taught, taught_patches, _), _ = seen(state.teacher.params, np.zeros_like(mask))
    taught_patches = np.asarray(taught_patches, np.float64)
    flat = np.asarray(taught, np.float64)[:, :2].reshape(12, -1)
    patch_targets = np.zeros(taught_patches.shape)
    if centering == "center":
        center, patch_center = (
            np.asarray(c, np.float64) for c in (state.center, state.patch_center)
        )
        targets = reference.sharpened(flat, center, 0.07)
        patch_targets = reference.sharpened(
            taught_patches, patch_center, 0.05 if ibot else 0.07
        )
    else:
        targets = reference.sinkhorn(flat, 0.07)
        patch_targets[mask] = reference.sinkhorn(taught_patches[mask], 0.07)
    said, pull = seen(params, mask)
    assert_losses(value, metrics, gradient, said, pull, targets, patch_targets, mask)

    for found, old, mean in (
        (after.center, state.center, flat.mean(0)),
        (
            after.patch_center,
            state.patch_center,
            (taught_patches if ibot else taught_patches[mask])
            .reshape(-1, taught_patches.shape[-1])
            .mean(0),
        ),
    ):
        assert_close(found, 0.8 * np.asarray(old, np.float64) + 0.2 * mean)


def test_images_without_masked_patches_have_no_patch_loss(views):
    method, params, state = made(
        "dinov2", views, ENCODER, mask_probability=0.0, **SETTINGS
    )
    parts = {name: params[name] for name in ("patch_projector", "patch_prototypes")}

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def evaluated(parts, params):
        whole = {**params, **parts}
        return method.loss(whole, state, views, key=KEY, step=jnp.int32(0))

    (value, (_, metrics)), gradient = evaluated(parts, params)
    assert metrics["ibot"] == metrics["masked_share"] == 0
    assert np.isfinite(value)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient))


def test_teacher_sees_the_whole_image_whatever_the_mask(views):
    """Repainting the mask token changes the student, and nothing that it is taught."""
    method, params, state = made("dinov2", views, ENCODER, **SETTINGS)

    def repainted(params):
        encoder = params["encoder"]
        painted = {**encoder, "mask_embed": encoder["mask_embed"] + 9}
        return {**params, "encoder": painted}

    teacher = state.teacher._replace(params=repainted(state.teacher.params))
    other = state._replace(teacher=teacher)
    loss = jax.jit(lambda p, s: method.loss(p, s, views, key=KEY, step=jnp.int32(0)))
    value, (after, _) = loss(params, state)
    again, (after_again, _) = loss(params, other)
    np.testing.assert_array_equal(value, again)
    np.testing.assert_array_equal(after.patch_center, after_again.patch_center)
    assert loss(repainted(params), state)[0] != value


def test_one_head_serves_images_and_patches(views):
    settings = {**SETTINGS, "num_patch_prototypes": None}
    method, params, state = made("dinov2", views, ENCODER, **settings)
    assert set(params) == {"encoder", "projector", "prototypes"}
    assert state.patch_center.shape == (12,)
    z = jax.jit(method.health.project)(params, state, views["global"][:, 0])
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)


def test_registers_change_no_shape():
    image = jnp.zeros((2, 8, 8, 3))
    settings = {key: value for key, value in ENCODER.items() if key != "name"}
    shapes = []
    for count in (0, 4):
        encoder = ENCODERS["vit"](**{**settings, "registers": count})
        features = jax.eval_shape(
            lambda key, encoder=encoder: encoder.init_with_output(
                key, image, train=False
            )[0],
            jax.random.key(0),
        )
        shapes.append(jax.tree.map(lambda leaf: leaf.shape, features))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"mask_ratios": (0.5, 0.1)},
            r"mask_ratios\[0\] = 0.5 must be at most mask_ratios\[1\] = 0.1",
        ),
        ({"mask_probability": 2.0}, "mask_probability = 2.0"),
        ({"centering": "mean"}, "'centering' = 'mean' must be"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    encoder = {key: value for key, value in ENCODER.items() if key != "name"}
    wires = {"encoder": ENCODERS["vit"](**encoder), "views": plain_crops}
    with pytest.raises(ValueError, match=message):
        bind(METHODS["dinov2"], wires, settings)


def test_an_encoder_without_a_mask_token_is_refused():
    with pytest.raises(ValueError, match=r"encoder.mask_token = True"):
        METHODS["dinov2"](ENCODERS["convnet"](widths=(8,)), plain_crops)
