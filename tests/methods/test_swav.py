"""SwAV's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.network import Network
from jax_ssl.optim.lars import lars
from tests.images import plain_views
from tests.leaves import assert_close
from tests.methods.pairs import float64, made, random_views
from tests.references import assignments as reference

B, D, K = 16, 8, 12
SETTINGS = {"hidden_dim": 16, "output_dim": D, "num_prototypes": K}
SETTINGS |= {"freeze_prototypes_steps": 2, "steps_per_epoch": 4}
QUEUE = {**SETTINGS, "queue_size": 2 * B, "queue_start_epoch": 0.5}
KEY = jax.random.key(1)


@pytest.fixture
def views(rng):
    return random_views(rng, B)


@pytest.fixture
def crops(rng):
    small = rng.uniform(size=(B, 3, 6, 6, 3))
    return {"global": random_views(rng, B), "local": jnp.asarray(small, jnp.float32)}


@functools.cache
def built(queue=False):
    """(method, params, state, compiled loss, compiled gradient); shared by tests."""
    views = random_views(np.random.default_rng(0), B)
    method, params, state = made("swav", views, **(QUEUE if queue else SETTINGS))
    loss = functools.partial(method.loss, key=KEY)
    gradient = jax.value_and_grad(loss, has_aux=True)
    return method, params, state, jax.jit(loss), jax.jit(gradient)


def raw(method, params, state, stacks):
    """Projections before their unit length [B, V, D], from the networks alone."""
    net = Network(encoder=method.encoder, projector=MLP((16, D)))
    pooled, stats = [], state.stats
    for stack in stacks:
        seen, stats = net.together({"encoder": params["encoder"]}, stats, stack)
        pooled.append(seen["encoder"].pooled)
    pooled, head = jnp.concatenate(pooled, axis=1), {"projector": params["projector"]}
    return float64(net.together(head, stats, pooled)[0]["projector"])


def unit(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def codes_of(scores):
    return np.stack([reference.sinkhorn(scores[:, i], 0.05, 3) for i in range(2)], 1)


def expected_step(method, params, state, stacks, queue=None):
    """(loss, gradients of prototypes and of raw projections, unit rows [B, V, D])."""
    z = raw(method, params, state, stacks)
    u, c = unit(z), float64(params["prototypes"])
    scores = u @ c.T
    codes = codes_of(scores)
    if queue is not None:
        codes = [
            reference.codes_with_queue(scores[:, i], queue[:, i] @ c.T, 0.05, 3)
            for i in range(2)
        ]
        codes = np.stack(codes, axis=1)
    value, slope = reference.swapped_prediction(scores, codes, 0.1)
    into_u = slope @ c
    lengths = np.linalg.norm(z, axis=-1, keepdims=True)
    into_z = (into_u - u * np.sum(u * into_u, -1, keepdims=True)) / lengths
    return value, np.einsum("bvk,bvd->kd", slope, u), into_z, u


def assert_near(got, wanted):
    assert np.linalg.norm(got - wanted) <= 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize("kind", ["two crops", "local crops"])
def test_loss_and_gradient_match_the_equation(views, crops, kind):
    method, params, state, _, gradient = built()
    given = views if kind == "two crops" else crops
    stacks = [views] if kind == "two crops" else list(crops.values())
    (value, (_, metrics)), slopes = gradient(params, state, given, step=jnp.int32(2))
    expected, into_prototypes, into_z, _ = expected_step(method, params, state, stacks)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert_near(slopes["prototypes"], into_prototypes)
    # The projector's last layer is linear: its bias gathers the projections' gradient.
    wanted = into_z.sum((0, 1))
    bias = slopes["projector"]["dense1"]["bias"]
    assert np.abs(bias - wanted).max() <= 1e-5 * np.abs(into_z).sum((0, 1)).max()
    assert 0 < metrics["code_entropy"] < metrics["prototype_entropy"] < np.log(K)
    assert 0 < metrics["prototypes_used"] <= 1


def test_two_crops_may_have_a_name(views):
    _, params, state, loss, _ = built()
    plain, (after, _) = loss(params, state, views, step=jnp.int32(0))
    named, (same, _) = loss(params, state, {"global": views}, step=jnp.int32(0))
    assert plain == named
    jax.tree.map(np.testing.assert_array_equal, after, same)


def test_small_crops_never_make_codes(crops):
    _, params, state, loss, _ = built()
    value, (_, metrics) = loss(params, state, crops, step=jnp.int32(0))
    # With the rows in another order the projector's statistics stay what they are.
    other = {**crops, "local": crops["local"][::-1]}
    moved, (_, after) = loss(params, state, other, step=jnp.int32(0))
    assert moved != value
    for name, number in metrics.items():
        np.testing.assert_allclose(after[name], number, rtol=1e-5)


def test_statistics_move_once_for_every_size(crops):
    method, params, state, loss, _ = built()
    _, (after, _) = loss(params, state, crops, step=jnp.int32(0))
    net, stats = Network(encoder=method.encoder), state.stats
    for stack in crops.values():
        _, stats = net.together({"encoder": params["encoder"]}, stats, stack)
    assert_close(after.stats["encoder"], stats["encoder"], rtol=1e-5, atol=1e-7)


def test_swapping_the_views_changes_nothing(views):
    _, params, state, loss, _ = built()
    np.testing.assert_allclose(
        loss(params, state, views, step=jnp.int32(0))[0],
        loss(params, state, views[:, ::-1], step=jnp.int32(0))[0],
        rtol=1e-5,
    )


def test_the_queue_is_filled_shifted_and_read_when_full(rng):
    method, params, state, loss, _ = built(queue=True)
    plain = built()[3]
    queue = np.zeros((2 * B, 2, D))  # Newest first, as in the released code.
    for step in range(6):
        views = random_views(rng, B)
        # Epoch 0.5 begins with step 2, and two batches fill the queue.
        read = queue if step >= 4 else None
        expected, _, _, u = expected_step(method, params, state, [views], read)
        value, (after, _) = loss(params, state, views, step=jnp.int32(step))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        without, _ = plain(params, state._replace(queue=None), views, step=step)
        if read is None:
            np.testing.assert_allclose(value, without, rtol=1e-6)
        else:
            assert abs(value - without) > 1e-3
        queue, state = reference.shifted(queue, u[:, :2]), after
        held = np.roll(state.queue, -((step + 1) % 2) * B, axis=0)  # Oldest first.
        blocks = held.reshape(2, B, 2, D)[::-1].reshape(queue.shape)
        np.testing.assert_allclose(blocks, queue, atol=2e-6)


def test_what_the_queue_holds_counts_only_when_it_is_read(rng, views):
    _, params, state, loss, gradient = built(queue=True)
    rows = rng.normal(size=(2 * B, 2, D)).astype(np.float32)
    other = state._replace(queue=jnp.asarray(unit(rows)))
    for step in range(4):
        first, second = (
            loss(params, s, views, step=jnp.int32(step))[0] for s in (state, other)
        )
        assert first == second
    assert loss(params, other, views, step=jnp.int32(4))[0] != first
    # The queue's scores make codes alone, so that its gradient is none.
    into_queue = jax.grad(
        lambda queue: loss(
            params, state._replace(queue=queue), views, step=jnp.int32(4)
        )[0]
    )
    assert not np.any(into_queue(other.queue))
    # Nor do they move the prototypes but through the codes.
    slopes = gradient(params, other, views, step=jnp.int32(4))[1]
    method = built(queue=True)[0]
    queue = float64(other.queue)
    wanted = expected_step(method, params, other, [views], queue)[1]
    assert_near(slopes["prototypes"], wanted)


def test_prototypes_are_frozen_at_first_and_everything_else_moves(views):
    _, params, state, _, gradient = built()
    for step in range(4):
        slopes = gradient(params, state, views, step=jnp.int32(step))[1]
        assert bool(np.any(slopes["prototypes"])) == (step >= 2)
        assert np.any(slopes["encoder"]["conv0"]["kernel"])


@pytest.mark.parametrize(
    "tx",
    [
        optax.sgd(0.3, momentum=0.9),
        lars(learning_rate=optax.constant_schedule(4.8), rate="outside", exclude=None),
        optax.adamw(0.01, weight_decay=0.1),
    ],
    ids=["sgd", "lars", "adamw"],
)
def test_frozen_prototypes_stand_still_under_decay(views, tx):
    method, params, _, _, _ = built()
    prototypes = {"prototypes": (first := params["prototypes"])}
    slots = tx.init(prototypes)
    for step in range(5):
        zero = jax.tree.map(jnp.zeros_like, prototypes)
        moved, slots = tx.update(zero, slots, prototypes)
        prototypes = optax.apply_updates(prototypes, moved)
        prototypes, _ = method.update(prototypes, None, step=jnp.int32(step + 1))
    np.testing.assert_allclose(prototypes["prototypes"], first, atol=1e-6)


def test_prototypes_after_steps_are_those_of_the_reference(rng):
    method, params, state, _, gradient = built()
    rate, wanted = 0.5, float64(params["prototypes"])
    for step in range(4):
        views = random_views(rng, B)
        (_, (after, _)), slopes = gradient(params, state, views, step=jnp.int32(step))
        if step >= 2:
            into = expected_step(method, params, state, [views])[1]
            wanted = reference.moved_prototypes(wanted, into, rate)
        moved = jax.tree.map(lambda w, g: w - rate * g, params, slopes)
        params, state = method.update(moved, after, step=jnp.int32(step + 1))
        np.testing.assert_allclose(params["prototypes"], wanted, atol=3e-5)


def test_prototypes_start_as_unit_rows_in_all_directions(views):
    _, params, _ = made("swav", views, **{**SETTINGS, "num_prototypes": 400})
    assert np.abs(params["prototypes"].mean(0)).max() < 0.1
    lengths = np.linalg.norm(params["prototypes"], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)


def test_equal_embeddings_give_the_log_of_the_prototypes(views):
    method, params, state, loss, _ = built()
    last = jax.tree.map(jnp.zeros_like, params["projector"]["dense1"])
    collapsed = {**params, "projector": {**params["projector"], "dense1": last}}
    value, (_, metrics) = loss(collapsed, state, views, step=jnp.int32(0))
    np.testing.assert_allclose([value, method.health.chance(B)], np.log(K), rtol=1e-6)
    np.testing.assert_allclose(metrics["code_entropy"], np.log(K), rtol=1e-5)


def test_project_gives_rows_that_see_no_other(views):
    method, params, state, _, _ = built()
    images = views[:, 0]
    project = jax.jit(method.health.project)
    z = project(params, state, images)
    np.testing.assert_allclose(z[3:4], project(params, state, images[3:4]), atol=1e-5)
    variables = method.exports["encoder"](params, state)
    features = method.encoder.apply(variables, images, train=False)
    own = {"params": params["projector"], **state.stats["projector"]}
    by_hand = MLP((16, D)).apply(own, features.pooled, train=False)
    np.testing.assert_allclose(z, by_hand, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"epsilon": -0.1}, "epsilon = -0.1 must be positive"),
        ({"iterations": 0}, "iterations = 0 must be at least 1"),
        ({"num_prototypes": 1}, "num_prototypes = 1 must be at least 2"),
        ({"freeze_prototypes_steps": -1}, "freeze_prototypes_steps = -1"),
        ({"queue_size": -5}, "queue_size = -5"),
        ({"queue_start_epoch": -1.0}, "queue_start_epoch = -1.0 must be at least 0"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["swav"](ENCODERS["convnet"](), plain_views, 4, **settings)


def test_views_and_queues_that_do_not_fit_are_refused(views, crops):
    with pytest.raises(ValueError, match=r"queue_size = 40 .* the 16 rows"):
        made("swav", views, **{**QUEUE, "queue_size": 40})
    with pytest.raises(ValueError, match="two global crops"):
        made("swav", views[:, :1], **SETTINGS)
    method, params, state = made("swav", crops, {"pool": "flat"}, **SETTINGS)
    with pytest.raises(ValueError, match=r"have \[256, 144\] features"):
        method.loss(params, state, crops, key=KEY, step=jnp.int32(0))
