"""Attention maps: shares, what is kept of them, and overlap with objects."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate.attention import attention_jaccard, jaccard
from jax_ssl.evaluate.part import part_of
from jax_ssl.ops.patches import keep_mass, upsampled
from tests.references import nn_layers as reference

TINY = {"dim": 16, "depth": 2, "num_heads": 2, "patch": 4, "image_size": 16}


keep = jax.jit(keep_mass, static_argnums=1)


def made(rng, **settings):
    encoder = ENCODERS["vit"](**{**TINY, **settings})
    abstract = jax.eval_shape(
        lambda key: encoder.init(key, jnp.zeros((1, 16, 16, 3)), train=False),
        jax.random.key(0),
    )
    draw = lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), leaf.dtype)
    return encoder, jax.tree.map(draw, abstract)


def test_rows_sum_to_one_at_any_size(rng):
    encoder, variables = made(rng, registers=3)
    look = jax.jit(lambda *given: encoder.attention(*given))
    look_at_maps = jax.jit(lambda *given: encoder.attention_maps(*given))
    for height, width in ((16, 16), (24, 32)):
        images = rng.normal(size=(2, height, width, 3)).astype(np.float32)
        weights = look(variables, images)
        h, w = height // 4, width // 4
        assert weights.shape == (2, 2, 1 + 3 + h * w)
        assert np.min(weights) >= 0
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
        maps = look_at_maps(variables, images)
        np.testing.assert_array_equal(maps.reshape(2, 2, -1), weights[:, :, 4:])


def test_weights_are_those_of_the_last_block(rng):
    """Recomputed in float64 from what enters the last block."""
    encoder, variables = made(rng)
    images = rng.normal(size=(1, 16, 16, 3)).astype(np.float32)
    shallow = encoder.clone(depth=1)
    params = variables["params"]
    apply = functools.partial(
        shallow.apply,
        train=False,
        capture_intermediates=lambda module, _: module.name == "block0",
        mutable=["intermediates"],
    )
    first = {k: v for k, v in params.items() if k != "block1"}
    _, kept = jax.jit(apply)({"params": first}, images)
    x = np.asarray(kept["intermediates"]["block0"]["__call__"][0], np.float64)
    block = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["block1"])
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    x = (x - mean) / np.sqrt(var + 1e-6)
    x = x * block["norm0"]["scale"] + block["norm0"]["bias"]
    qkv = x @ block["attention"]["qkv"]["kernel"] + block["attention"]["qkv"]["bias"]
    q, k = qkv.reshape(1, 17, 3, 2, 8).transpose(2, 0, 1, 3, 4)[:2]
    # Values that are one for one token each read the weights off.
    wanted = np.zeros((1, 2, 17))
    for token in range(17):
        v = np.zeros_like(k)
        v[:, token] = 1.0
        wanted[:, :, token] = reference.attention(q, k, v)[:, 0, :, 0]
    found = jax.jit(lambda *given: encoder.attention(*given))(variables, images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_features_do_not_change_when_attention_is_asked_for(rng):
    encoder, variables = made(rng)
    images = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)
    plain = encoder.apply(variables, images, train=False)
    asked, _ = encoder.apply(variables, images, train=False, mutable=["intermediates"])
    jax.tree.map(np.testing.assert_array_equal, plain, asked)


@pytest.mark.parametrize("mass", [0.3, 0.6, 0.95])
def test_kept_patches_hold_the_mass_and_not_one_is_spare(rng, mass):
    maps = rng.exponential(size=(5, 3, 7, 6)).astype(np.float32)
    kept = np.asarray(keep(maps, mass))
    total = maps.sum((-2, -1), dtype=np.float64)
    held = np.where(kept, maps, 0).sum((-2, -1), dtype=np.float64)
    assert (held >= mass * total).all()
    smallest = np.where(kept, maps, np.inf).min((-2, -1))
    assert (held - smallest < mass * total).all()
    # Nothing outside is larger than anything inside.
    assert (np.where(kept, 0, maps).max((-2, -1)) <= smallest).all()
    np.testing.assert_array_equal(keep(np.float32(0.01) * maps, mass), kept)


@pytest.mark.parametrize("L", [1, 5, 9, 10, 196, 900])
def test_a_uniform_map_keeps_its_share_of_patches(L):
    for value in (1.0, np.float32(1 / L)):
        kept = keep(np.full((1, L), value, np.float32), 0.6)
        assert kept.sum() == int(np.ceil(round(0.6 * L, 9)))


def test_all_mass_keeps_all_and_no_mass_is_refused(rng):
    assert keep_mass(jnp.asarray(rng.uniform(1, 2, (3, 3))), 1.0).all()
    with pytest.raises(ValueError, match="mass = 0"):
        attention_jaccard(made(rng)[0], mass=0)


def test_upsampling_makes_squares(rng):
    maps = rng.normal(size=(2, 3, 4)).astype(np.float32)
    large = upsampled(maps, 5)
    assert large.shape == (2, 15, 20)
    np.testing.assert_array_equal(large[:, 7, 13], maps[:, 1, 2])
    np.testing.assert_array_equal(large[:, 2::5, 2::5], maps)


def test_jaccard_of_known_masks():
    a, b = np.zeros((2, 4, 4), bool)
    assert jaccard(a, b) == 1
    a[:2] = True
    assert jaccard(a, b) == 0
    assert jaccard(a, a) == 1
    b[:, :2] = True
    assert jaccard(a, b) == pytest.approx(4 / 12)
    np.testing.assert_allclose(jaccard(np.stack([a, b]), b), [1 / 3, 1])


def test_the_best_head_of_each_image_counts(rng):
    encoder, variables = made(rng)
    images = rng.normal(size=(3, 16, 16, 3)).astype(np.float32)
    protocol = attention_jaccard(encoder)
    maps = jax.jit(protocol.reader)(variables, images)
    masks = np.asarray(upsampled(keep(maps, 0.6), 4))
    # Each image's objects are what one of its heads cuts out.
    objects = np.stack([masks[0, 1], masks[1, 0], masks[2, 1]])

    def judged(objects):
        mask = np.where(objects, 7, 0).astype(np.uint8)
        mask[:, 0, 0] = np.where(objects[:, 0, 0], 7, 255)  # Void is no object.
        part = part_of(np.asarray(maps), mask=mask)
        (outcome,) = protocol.run(part, part)
        return outcome.values["jaccard"]

    assert judged(objects) == 1
    objects[0] = ~masks[0].any(0)
    assert judged(objects) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("mass", "wanted"), [(0.6, 0.14977920552094778), (0.9, 0.17504737355435887)]
)
def test_each_class_has_a_best_head_in_the_other_published_rule(rng, mass, wanted):
    """Numbers of Naseer et al.'s evaluate_segmentation.py on these maps and masks.

    Void pixels are outside of every class there, and count as such.
    """
    head, y, x = np.meshgrid(*map(np.arange, (2, 4, 5)), indexing="ij")
    maps = [
        np.exp(
            2 * np.sin((1.3 + i) * y + head)
            + 1.5 * np.cos((0.9 + 0.2 * i) * x - head)
            + 0.01 * (5 * y + x)
        )
        for i in range(3)
    ]
    masks = np.zeros((4, 16, 20), np.uint8)
    row, column = np.mgrid[:16, :20]
    for i, mask in enumerate(masks[:3]):
        mask[(row - 5) ** 2 + (column - 6 - i) ** 2 < 20] = 15
        mask[10:15, 11:18] = 3
        mask[0] = mask[9:11, 10:14] = 255
    # An image without an object is left out.
    part = part_of(np.stack([*maps, maps[0]]).astype(np.float32), mask=masks)
    protocol = attention_jaccard(made(rng)[0], objects="by_class", mass=mass)
    (outcome,) = protocol.run(part, part)
    assert outcome.values["jaccard"] == pytest.approx(wanted, rel=1e-6)
    together, *_ = attention_jaccard(made(rng)[0], mass=mass).run(part, part)
    assert together.values["jaccard"] != pytest.approx(wanted, rel=0.01)
    assert together.title != outcome.title
