"""ClusterFit's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.checkpoint.export import export_encoder, load_encoder
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.network import Copy
from tests.case import Case
from tests.encoders.draws import random_variables
from tests.images import one_view
from tests.leaves import assert_close, assert_equal
from tests.methods.errors import Linear, central_differences
from tests.methods.pairs import float64
from tests.references import clustering as reference

N, K = 40, 4
KEY = jax.random.key(1)
STEP = jnp.int32(0)
TEACHER = {"name": "convnet", "widths": (4, 6), "pool": "flat"}

CASES = {
    "clusterfit": Case(
        "clusterfit",
        {"num_clusters": 4, "teacher": {"name": "convnet", "widths": (4,)}},
        one_view,
        encoder={"name": "convnet", "widths": (8, 16), "pool": "flat"},
        share=0.75,
        learning_rate=0.02,
    ),
}


def elder(section):
    settings = dict(section)
    return ENCODERS[settings.pop("name")](**settings)


def made(encoder=None, **settings):
    """(method, params, state of a filled teacher, views of every image once)."""
    rng = np.random.default_rng(5)
    views = {
        "image": jnp.asarray(rng.uniform(size=(N, 8, 8, 3)), jnp.float32),
        "index": jnp.asarray(rng.permutation(N), jnp.int32),
    }
    settings = {"num_clusters": K, "teacher": TEACHER, "iterations": 30, **settings}
    encoder = encoder or ENCODERS["convnet"](widths=(4, 8))
    method = METHODS["clusterfit"](encoder, one_view, N, elder, **settings)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    given = random_variables(elder(TEACHER), views["image"], seed=7)
    variables = {"params": given[0], **given[1]}
    return method, *method.loads["teacher"].fill(params, state, variables), views


@pytest.fixture(scope="module", params=[True, False], ids=["unit", "plain"])
def clustered(request):
    method, params, state, views = made(unit=request.param)
    order = jnp.argsort(views["index"])

    def stage(params, state):
        features = method.refresh.embed(params, state, {"view": views["image"][order]})
        # Rows beyond the data set must not be looked at.
        padded = jnp.concatenate([features, jnp.full((24, features.shape[1]), 7.0)])
        return method.refresh.fit(params, state, padded, KEY)

    images = views["image"][order]
    return request.param, (params, state), jax.jit(stage)(params, state), images, views


def test_labels_are_a_fixed_point_on_the_teachers_features(clustered):
    unit, (params, state), (same, after, metrics), images, _ = clustered
    variables = {"params": state.teacher.params, **state.teacher.stats}
    x = float64(elder(TEACHER).apply(variables, images, train=False).pooled)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if unit else x
    labels = np.asarray(after.labels)
    centers = np.stack([x[labels == k].mean(0) for k in range(K)])
    again, _ = reference.lloyd(x, centers, 1)
    np.testing.assert_array_equal(again, labels)
    np.testing.assert_array_equal(after.sizes, np.bincount(labels, minlength=K))
    assert metrics["largest_cluster"] == pytest.approx(max(after.sizes) / N)
    # Nothing else moves: the new network starts from scratch.
    assert_equal(same, params)
    assert_equal(after.stats, state.stats)
    assert_equal(after.teacher, state.teacher)


def test_it_is_clustered_once():
    method, *_ = made()
    assert method.refresh.every_epochs is None
    assert method.refresh.resets == ()


def test_loss_and_gradient_are_those_of_float64(rng):
    views = {
        "image": rng.uniform(size=(8, 3, 3, 1)).astype(np.float32),
        "index": rng.permutation(N)[:8].astype(np.int32),
    }
    teacher = {"name": "convnet", "widths": (2,)}
    method = METHODS["clusterfit"](
        Linear(), one_view, N, elder, teacher=teacher, num_clusters=5
    )
    params, state = method.init(KEY, views)
    state = state._replace(labels=jnp.asarray(rng.integers(0, 5, N), jnp.int32))
    grad = jax.value_and_grad(method.loss, has_aux=True)
    (value, _), slope = jax.jit(functools.partial(grad, key=KEY, step=STEP))(
        params, state, views
    )
    labels = np.asarray(state.labels)[views["index"]]

    def loss(p):
        own, last = p["encoder"]["dense"], p["classifier"]["dense0"]
        x = np.float64(views["image"]).reshape(8, -1) @ own["kernel"] + own["bias"]
        logits = np.maximum(x, 0) @ last["kernel"] + last["bias"]
        return reference.cross_entropies(logits, labels).mean()

    wide = float64(params)
    assert value == pytest.approx(loss(wide), rel=1e-5)
    flat = jax.flatten_util.ravel_pytree
    wanted = flat(central_differences(loss, wide))[0]
    off = np.linalg.norm(np.float64(flat(slope)[0]) - wanted)
    assert off < 1e-5 * np.linalg.norm(wanted)


def test_other_names_of_clusters_need_another_classifier_and_no_more():
    method, params, state, views = made()
    names = jnp.asarray([2, 0, 3, 1])
    renamed = state._replace(labels=names[state.labels])
    classifier = jax.tree.map(
        lambda leaf: leaf[..., jnp.argsort(names)], params["classifier"]
    )
    grad = jax.value_and_grad(method.loss, has_aux=True)
    grad = jax.jit(functools.partial(grad, key=KEY, step=STEP))
    (value, _), slopes = grad(params, state, views)
    (same, _), slopes_too = grad({**params, "classifier": classifier}, renamed, views)
    np.testing.assert_allclose(same, value, rtol=1e-6)
    assert_close(slopes_too["encoder"], slopes["encoder"], rtol=1e-4, atol=1e-7)


def test_chance_and_what_the_steps_leave_as_it_is():
    method, params, state, views = made()
    blind = jax.tree.map(jnp.zeros_like, params["classifier"])
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=STEP))
    value, (after, _) = loss({**params, "classifier": blind}, state, views)
    np.testing.assert_allclose(value, np.log(K), rtol=1e-6)
    assert method.health.chance(N) == pytest.approx(np.log(K))
    for name in ("teacher", "labels", "sizes"):
        assert_equal(getattr(after, name), getattr(state, name))


def test_an_exported_encoder_is_a_teacher(tmp_path):
    method, params, state, _ = made()
    load = method.loads["teacher"]
    assert load.required
    export_encoder(tmp_path / "encoder.npz", load.take(params, state), {})
    variables, _ = load_encoder(tmp_path / "encoder.npz")
    nothing = jax.tree.map(jnp.zeros_like, state.teacher)
    _, filled = load.fill(params, state._replace(teacher=nothing), variables)
    assert isinstance(filled.teacher, Copy)
    assert_equal(filled.teacher, state.teacher)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_clusters": 1}, "num_clusters = 1 must be at least 2"),
        ({"num_clusters": 41}, "num_clusters = 41 must be at most num_examples = 40"),
        ({"iterations": 0}, "iterations = 0 must be at least 1"),
    ],
)
def test_settings_are_refused(settings, message):
    settings = {"num_clusters": K, "teacher": TEACHER, **settings}
    with pytest.raises(ValueError, match=message):
        METHODS["clusterfit"](ENCODERS["convnet"](), one_view, N, elder, **settings)


def test_a_recipe_without_the_rows_is_refused():
    method, _, _, views = made()
    with pytest.raises(ValueError, match=r"reads \{'image', 'index'\}"):
        method.init(KEY, views["image"])
