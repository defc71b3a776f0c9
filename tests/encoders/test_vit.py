import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.affine import LayerNorm
from jax_ssl.nn.transformer import turned
from jax_ssl.ops.patches import patchify, unpatchify
from jax_ssl.ops.positions import resample_positions, rotations, sincos_positions
from tests.encoders.draws import KEY, abstract_variables, random_variables

TINY = {"dim": 16, "depth": 2, "num_heads": 2, "patch": 4, "image_size": 16}
VIT = ENCODERS["vit"](**TINY, mask_token=True)


@functools.partial(jax.jit, static_argnums=0)
def tokens(vit, params, x, keep=None):
    return vit.apply({"params": params}, x, keep, method="tokens")


@functools.partial(jax.jit, static_argnums=0)
def masked(vit, params, x, mask):
    """All tokens, where the network pools the class token."""
    seen = vit.apply({"params": params}, x, mask, train=False)
    patches = seen.grid.reshape(len(x), -1, vit.dim)
    return jnp.concatenate([seen.pooled[:, None], patches], axis=1)


@functools.partial(jax.jit, static_argnums=0)
def features(vit, params, x):
    return vit.apply({"params": params}, x, train=False)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def params(image):
    return random_variables(VIT, image)[0]


def shapes(vit, image):
    return abstract_variables(vit, image)["params"]


def repaint(image, patches, rng):
    """The image with new pixels in patches [B, K] of each row."""
    cut = np.array(patchify(jnp.asarray(image), 4))
    for row, places in zip(cut, patches, strict=True):
        row[places] = rng.normal(size=(len(places), cut.shape[-1]))
    return np.asarray(unpatchify(jnp.asarray(cut), 4, (4, 4)))


KEEP = np.array([[7, 2, 11], [0, 15, 4]], np.int32)
DROPPED = np.array([np.setdiff1d(np.arange(16), row) for row in KEEP])


def test_kept_tokens_do_not_see_the_dropped_patches(rng, image, params):
    found = tokens(VIT, params, image, KEEP)
    assert found.shape == (2, 1 + 3, 16)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(
        found, tokens(VIT, params, repaint(image, DROPPED, rng), KEEP)
    )
    assert np.any(found != tokens(VIT, params, repaint(image, KEEP, rng), KEEP))


def test_keeping_every_patch_in_order_is_the_whole_image(image, params):
    everything = np.broadcast_to(np.arange(16, dtype=np.int32), (2, 16))
    np.testing.assert_allclose(
        tokens(VIT, params, image, everything),
        tokens(VIT, params, image),
        rtol=1e-5,
        atol=1e-5,
    )


def test_kept_patches_take_their_positions_along(image, params):
    # Attention does not know the order, so the order of `keep` is all that changes.
    found = tokens(VIT, params, image, KEEP)
    turned = tokens(VIT, params, image, KEEP[:, ::-1].copy())
    np.testing.assert_allclose(turned[:, 0], found[:, 0], atol=1e-5)
    np.testing.assert_allclose(turned[:, 1:], found[:, :0:-1], atol=1e-5)
    # The same pixels everywhere: only the positions tell the patches apart.
    flat = np.full_like(image, 0.5)
    same = tokens(VIT, params, flat, KEEP)
    other = tokens(VIT, params, flat, (KEEP + 1) % 16)
    assert np.abs(same - other).max() > 1e-3
    without = {**params, "position_embed": jnp.zeros_like(params["position_embed"])}
    np.testing.assert_allclose(
        tokens(VIT, without, flat, KEEP),
        tokens(VIT, without, flat, (KEEP + 1) % 16),
        atol=1e-5,
    )


def test_masked_patches_keep_their_place_and_lose_their_pixels(rng, image, params):
    mask = np.zeros((2, 16), bool)
    np.put_along_axis(mask, DROPPED, True, axis=1)
    found = masked(VIT, params, image, mask)
    assert found.shape == (2, 17, 16)
    np.testing.assert_array_equal(
        found, masked(VIT, params, repaint(image, DROPPED, rng), mask)
    )
    # The mask token stands for the patch before the position is added.
    pixel_free = {**params, "patch_embed": jax.tree.map(jnp.zeros_like, VIT_PATCH)}
    blank = {**pixel_free, "mask_embed": jnp.zeros_like(params["mask_embed"])}
    np.testing.assert_allclose(
        masked(VIT, blank, image, mask), tokens(VIT, blank, image), atol=1e-5
    )


VIT_PATCH = {"kernel": jnp.zeros((48, 16)), "bias": jnp.zeros(16)}


def test_gradient_reaches_the_mask_token_and_kept_patches_only(image, params):
    mask = np.zeros((2, 16), bool)
    mask[:, 3] = True

    @jax.jit
    def by(params, x, mask):
        loss = lambda params, x: jnp.sum(jnp.sin(masked(VIT, params, x, mask)))
        return jax.grad(loss, (0, 1))(params, x)

    by_params, by_image = by(params, image, mask)
    assert np.abs(by_params["mask_embed"]).max() > 0
    of_patch = np.abs(patchify(by_image, 4)).max((0, 2))
    assert of_patch[3] == 0
    assert np.all(np.delete(of_patch, 3) > 0)
    by_params, _ = by(params, image, np.zeros_like(mask))
    np.testing.assert_array_equal(by_params["mask_embed"], 0)


def test_mask_without_a_mask_token_is_refused(image, params):
    bare = VIT.clone(mask_token=False)
    assert "mask_embed" not in shapes(bare, image)
    with pytest.raises(ValueError, match=r"set encoder.mask_token = True"):
        masked(bare, params, image, np.ones((2, 16), bool))


def test_class_pooling_reads_the_class_token(image, params):
    found = features(VIT, params, image)
    normed = tokens(VIT, params, image)
    np.testing.assert_allclose(found.pooled, normed[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.grid.reshape(2, 16, 16), normed[:, 1:], atol=1e-5)


def test_mean_pooling_norms_the_mean_of_the_patches(image, params):
    mean = VIT.clone(pool="mean")
    found = features(mean, params, image)
    unit = {"scale": jnp.ones(16), "bias": jnp.zeros(16)}
    # Undoes the final norm's scale and offset, not its division.
    assert shapes(mean, image) == shapes(VIT, image)
    plain = features(mean, {**params, "norm": unit}, image).pooled
    np.testing.assert_allclose(plain.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(plain.var(1), 1, rtol=1e-3)
    np.testing.assert_allclose(
        found.pooled,
        plain * params["norm"]["scale"] + params["norm"]["bias"],
        atol=1e-5,
    )
    assert np.abs(found.pooled - found.grid.mean((1, 2))).max() > 1e-2


def test_other_image_sizes_interpolate_the_positions(rng, params):
    x = rng.normal(size=(2, 24, 12, 3)).astype(np.float32)
    found = features(VIT, params, x)
    assert found.grid.shape == (2, 6, 3, 16)
    # With one position everywhere there is nothing to interpolate.
    table = params["position_embed"]
    constant = table.at[1:].set(table[1])
    native = ENCODERS["vit"](**{**TINY, "image_size": 24}, mask_token=True)
    wide = jnp.concatenate([table[:1], jnp.broadcast_to(table[1], (36, 16))])
    square = rng.normal(size=(2, 24, 24, 3)).astype(np.float32)
    np.testing.assert_allclose(
        features(VIT, {**params, "position_embed": constant}, square).pooled,
        features(native, {**params, "position_embed": wide}, square).pooled,
        atol=1e-5,
    )


def test_every_layer_norm_has_the_epsilon_of_the_setting(image, params):
    vit = ENCODERS["vit"](**TINY, mask_token=True, norm_epsilon=1e6)
    is_norm = lambda module, _: isinstance(module, LayerNorm)
    apply = functools.partial(
        vit.apply,
        train=False,
        capture_intermediates=is_norm,
        mutable=["intermediates"],
    )
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), params)
    kept = jax.jit(apply)({"params": ones}, image)[1]
    leaves = jax.tree_util.tree_leaves_with_path(kept["intermediates"])
    normed = [x for path, x in leaves if "norm" in jax.tree_util.keystr(path)]
    assert len(normed) == 5  # Two in each block, and the last one.
    # Scale and offset are 1, so that what is hardly varied at all comes out as 1.
    for x in normed:
        np.testing.assert_allclose(x, 1, atol=0.05)


def test_positions_may_follow_the_released_code_of_dino(rng, params):
    vit = ENCODERS["vit"](**TINY, mask_token=True, resample="dino")
    large = rng.normal(size=(1, 24, 32, 3)).astype(np.float32)
    table = params["position_embed"]
    moved = resample_positions(table[1:], (4, 4), (6, 8), form="dino")
    native = ENCODERS["vit"](**{**TINY, "image_size": 24}, mask_token=True)
    found = features(vit, params, large[:, :, :24])
    square = resample_positions(table[1:], (4, 4), (6, 6), form="dino")
    own = {**params, "position_embed": jnp.concatenate([table[:1], square])}
    expected = features(native, own, large[:, :, :24])
    np.testing.assert_allclose(found.pooled, expected.pooled, atol=1e-6)
    assert moved.shape == (48, 16)
    assert features(vit, params, large).grid.shape == (1, 6, 8, 16)


def test_image_that_the_patch_does_not_divide_is_named(params):
    with pytest.raises(ValueError, match="18 x 16 pixels cannot be cut"):
        features(VIT, params, np.zeros((1, 18, 16, 3), np.float32))


def test_sincos_positions_are_a_learned_table_with_those_values(image, params):
    fixed = VIT.clone(positions="sincos")
    abstract = shapes(fixed, image)
    assert "position_embed" not in abstract
    table = np.pad(sincos_positions(4, 4, 16), ((1, 0), (0, 0)))
    learned = {**params, "position_embed": jnp.asarray(table)}
    without = {name: params[name] for name in abstract}
    np.testing.assert_allclose(
        features(fixed, without, image).pooled,
        features(VIT, learned, image).pooled,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("scheme", "spreads"),
    [
        # Standard deviations of the kernels of the patch projection (48 to 16), of
        # qkv (16 to 48), of the first feed-forward layer (16 to 64) and of the tokens.
        ("dino", (1 / np.sqrt(3 * 48), 0.02, 0.02, 0.02)),
        ("mae", (np.sqrt(2 / 64), np.sqrt(2 / 64), np.sqrt(2 / 80), 0.02)),
        ("moco_v3", (np.sqrt(2 / 64), np.sqrt(1 / 16), np.sqrt(2 / 80), 1e-6)),
    ],
)
def test_first_weights_follow_the_scheme(image, scheme, spreads):
    vit = ENCODERS["vit"](**TINY, scheme=scheme)
    init = jax.jit(functools.partial(vit.init, train=False))
    first = init(KEY(0), image)["params"]
    block = first["block0"]
    kernels = [
        first["patch_embed"]["kernel"],
        block["attention"]["qkv"]["kernel"],
        block["feed_forward"]["dense0"]["kernel"],
        first["class_token"],
    ]
    for leaf, spread in zip(kernels, spreads, strict=True):
        # Five standard deviations of the estimate from this many normal draws.
        assert abs(np.std(leaf) / spread - 1) < 5 / np.sqrt(2 * leaf.size)
    assert not np.any(block["attention"]["qkv"]["bias"])


def test_drop_path_acts_in_training_alone_and_rises_with_depth(image, params):
    vit = VIT.clone(drop_path=0.9)
    np.testing.assert_allclose(
        features(vit, params, image).pooled,
        features(VIT, params, image).pooled,
        atol=1e-5,
    )
    assert [block.drop_path for block in vit.bind({"params": params}).blocks] == [
        0.0,
        0.9,
    ]
    apply = jax.jit(functools.partial(vit.apply, train=True))
    key = {"drop_path": jax.random.key(0)}
    trained = apply({"params": params}, image, rngs=key).pooled
    assert np.any(trained != features(VIT, params, image).pooled)


ROPE = ENCODERS["vit"](**{**TINY, "positions": "rope", "registers": 2})


def test_rotated_positions_depend_on_distances_between_places_alone(rng):
    """Closed form: the product of turned q and k turns by the difference of angles."""
    angles = rotations(3, 5, 8, base=100.0)
    assert angles.shape == (15, 4)
    # Middles of 3 rows are at -2/3, 0, 2/3; those of 5 columns at -4/5 ... 4/5.
    cell = 2 * np.pi * np.array([2 / 3, 2 / 30, -0.4, -0.04])
    np.testing.assert_allclose(angles[2 * 5 + 1], cell, rtol=1e-6)
    q, k = rng.normal(size=(2, 1, 15, 1, 8)).astype(np.float32)
    turned_q, turned_k = turned(q, angles), turned(k, angles)
    found = np.einsum("bnhd,bmhd->nm", turned_q, turned_k)
    complex_q, complex_k = (x[0, :, 0, :4] + 1j * x[0, :, 0, 4:] for x in (q, k))
    between = np.exp(1j * (angles[:, None] - angles[None]))
    wanted = np.einsum("nd,md,nmd->nm", complex_q, complex_k.conj(), between).real
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_rotation_leaves_tokens_without_a_place_and_kept_patches_theirs(rng, image):
    params = random_variables(ROPE, image)[0]
    assert "position_embed" not in params
    everything = np.broadcast_to(np.arange(16), (2, 16))
    order = np.stack([rng.permutation(16), rng.permutation(16)])
    whole = tokens(ROPE, params, image, everything)
    np.testing.assert_allclose(tokens(ROPE, params, image), whole, atol=1e-5)
    mixed = tokens(ROPE, params, image, order)
    np.testing.assert_allclose(mixed[:, 0], whole[:, 0], atol=1e-5)
    for row in range(2):
        np.testing.assert_allclose(
            mixed[row, 1:], whole[row, 1:][order[row]], atol=1e-5
        )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"class_token": False}, "leaves nothing for pool = 'class'"),
        ({"positions": "rope", "num_heads": 8}, "multiple of 4 channels, not 2"),
        ({"rope_base": 0.0}, "rope_base = 0.0"),
        ({"feed_forward": "glu"}, "feed_forward = 'glu'"),
    ],
)
def test_settings_of_no_network_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ENCODERS["vit"](**{**TINY, **settings})


def test_without_a_class_token_nothing_reads_one(image):
    bare = ENCODERS["vit"](**TINY, class_token=False, pool="normed_mean")
    params = random_variables(bare, image)[0]
    assert params["position_embed"].shape == (16, 16)
    found = features(bare, params, image)
    np.testing.assert_allclose(found.pooled, found.grid.mean((1, 2)), atol=1e-5)
    assert bare.shows({"params": params}, {"view": image}) == {}
    for ask in (
        lambda: bare.apply({"params": params}, image, method="tokens"),
        lambda: bare.attention({"params": params}, image),
    ):
        with pytest.raises(ValueError, match="class"):
            ask()
