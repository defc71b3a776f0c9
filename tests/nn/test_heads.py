import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from jax_ssl.core.paths import leaf_names
from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.heads import Prototypes, prototype_head
from jax_ssl.nn.network import Network
from jax_ssl.nn.transformer import without_drop_path

ENCODER = ENCODERS["convnet"](widths=(8,))


def head_of(*, norm_last_layer=False, **settings):
    """A head of 7 prototypes."""
    sizes = {"hidden_dim": 16, "bottleneck_dim": 5, **settings}
    return Network(
        **prototype_head(ENCODER, 7, norm_last_layer=norm_last_layer, **sizes)
    )


HEAD = head_of()


def drawn(head, rng, width=6):
    """Params and stats of a head for vectors, none of them at its first value."""
    abstract = jax.eval_shape(head.init, jax.random.key(0), jnp.zeros((2, width)))
    draw = lambda leaf: jnp.asarray(rng.normal(0.2, 1, leaf.shape), leaf.dtype)
    return jax.tree.map(draw, abstract)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def test_head_is_the_reference(rng):
    variables = drawn(HEAD, rng)
    x = rng.normal(size=(4, 6))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)[0]
    y = x
    for i in range(3):
        layer = params["projector"][f"dense{i}"]
        y = y @ layer["kernel"] + layer["bias"]
        y = gelu(y) if i < 2 else y
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    kernel = params["prototypes"]["kernel"]
    wanted = (
        y @ (kernel / np.linalg.norm(kernel, axis=0)) * params["prototypes"]["gain"]
    )
    out, _ = HEAD(*variables, x.astype(np.float32))
    np.testing.assert_allclose(out["prototypes"], wanted, rtol=1e-4)
    np.testing.assert_allclose(out["projector"], y, rtol=1e-4, atol=1e-6)


def test_without_learned_gain_scores_are_cosines(rng):
    head = head_of(norm_last_layer=True)
    params, stats = drawn(head, rng)
    assert leaf_names(params["prototypes"]) == ["kernel"]
    x = rng.normal(size=(9, 6)).astype(np.float32)
    scores = head(params, stats, x)[0]["prototypes"]
    assert np.abs(scores).max() <= 1 + 1e-6
    longer = {"kernel": 3 * params["prototypes"]["kernel"]}
    same = head({**params, "prototypes": longer}, stats, x)[0]["prototypes"]
    np.testing.assert_allclose(same, scores, rtol=1e-5, atol=1e-6)


def test_first_weights():
    params, stats = HEAD.init(jax.random.key(0), jnp.zeros((1, 512)))
    first = params["projector"]["dense0"]
    np.testing.assert_allclose(first["kernel"].std(), 0.02, rtol=0.05)
    assert not np.any(first["bias"])
    assert params["prototypes"]["gain"].shape == (1, 7)
    np.testing.assert_array_equal(params["prototypes"]["gain"], 1)
    assert np.abs(params["prototypes"]["kernel"]).max() <= 1 / np.sqrt(5)
    assert stats == {"projector": {}, "prototypes": {}}


def test_scores_of_bfloat16_are_summed_in_float32(rng):
    head = Prototypes(3, dtype=jnp.bfloat16)
    x = jnp.ones((1, 4096)) / 64
    ones = {"params": {"kernel": jnp.ones((4096, 3))}}
    scores = head.apply(ones, x)
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, 1, rtol=1e-2)


def test_batch_norm_goes_between_the_layers():
    encoder = ENCODERS["convnet"](widths=(8,), groups=2, dtype="bfloat16")
    head = prototype_head(encoder, 7, norm="batch")
    assert set(head) == {"projector", "prototypes"}
    assert head["projector"].groups == 2
    assert head["projector"].dtype == head["prototypes"].dtype == "bfloat16"
    params, stats = jax.eval_shape(
        Network(**head).init, jax.random.key(0), jnp.zeros((2, 6))
    )
    assert set(params["projector"]) == {
        *("dense0", "dense1", "dense2", "norm0", "norm1")
    }
    assert set(stats["projector"]["batch_stats"]) == {"norm0", "norm1"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bottleneck_dim": 0}, "bottleneck_dim = 0 must be at least 1"),
        ({"layers": 0}, "head_layers = 0 must be at least 1"),
        ({"norm": "layer"}, "head_norm = 'layer' must be one of 'none', 'batch'"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        prototype_head(ENCODER, 7, **settings)


def test_a_teacher_drops_no_paths():
    vit = ENCODERS["vit"](dim=8, depth=1, num_heads=2, drop_path=0.3)
    assert without_drop_path(vit) == vit.clone(drop_path=0.0)
    convnet = ENCODERS["convnet"](widths=(8,))
    assert without_drop_path(convnet) is convnet
