"""Laws of networks of named parts, against their modules applied by hand."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.schedule import at
from jax_ssl.core.types import Features
from jax_ssl.encoders import ENCODERS
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.network import Copy, Follow, Network
from jax_ssl.nn.norm import BatchNorm
from jax_ssl.nn.transformer import Branch
from jax_ssl.parallel.chunks import in_chunks
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.leaves import assert_close, assert_equal, assert_same_kind


class Rows(nn.Module):
    """The least encoder with statistics: a dense layer and batch norm of vectors."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Dense(4, name="dense")(x)
        return Features(BatchNorm(name="norm")(x, train=train), x[:, None])


class Noise(nn.Module):
    """Its input and what it draws."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        x = x.reshape(len(x), -1).mean(1, keepdims=True)
        noise = jax.random.normal(self.make_rng("noise"), x.shape)
        return Features(noise, x)


ENCODER = Rows()
HEAD = MLP((6, 3), last_norm="affine")
NET = Network(encoder=ENCODER, projector=HEAD, predictor=MLP((5, 3)))
PARTS = ("encoder", "projector", "predictor")


class NetState(NamedTuple):
    """As of a method with a teacher."""

    stats: Any
    teacher: Copy


@pytest.fixture(scope="module")
def made():
    """(params, stats) of `NET`, none of them at its first value."""
    params, stats = jax.jit(NET.init)(jax.random.key(0), jnp.zeros((2, 5)))
    rng = np.random.default_rng(0)
    shake = lambda leaf: leaf + 0.2 * np.abs(rng.normal(size=leaf.shape)).astype("f4")
    return jax.tree.map(shake, params), jax.tree.map(shake, stats)


def by_hand(module, params, stats, x, train=True):
    """One linen module; (output, next stats)."""
    variables = {"params": params, **stats}
    if not train:
        return module.apply(variables, x, train=False), stats
    output, moved = module.apply(variables, x, train=True, mutable=list(stats))
    return output, dict(moved)


def all_by_hand(params, stats, x, train=True):
    """Encoder, projector and predictor one after the other."""
    outputs, moved = {}, {}
    for name in PARTS:
        outputs[name], moved[name] = by_hand(
            NET.parts[name], params[name], stats[name], x, train
        )
        x = outputs[name].pooled if name == "encoder" else outputs[name]
    return outputs, moved


def test_every_part_has_its_own_variables_under_its_name():
    x = jnp.zeros((2, 5))
    params, stats = jax.eval_shape(NET.init, jax.random.key(0), x)
    assert set(params) == set(stats) == set(PARTS)
    for name, width in zip(PARTS, (5, 4, 3), strict=True):
        module = NET.parts[name]
        init = functools.partial(module.init, train=False)
        own = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, width)))
        assert_same_kind({"params": params[name], **stats[name]}, own)


def test_equal_parts_start_with_different_weights():
    head = MLP((4, 4))
    net = Network(encoder=ENCODER, projector=head, predictor=head.clone())
    params, _ = jax.jit(net.init)(jax.random.key(0), jnp.zeros((2, 5)))
    one, other = (params[name]["dense0"]["kernel"] for name in PARTS[1:])
    assert one.shape == other.shape
    assert np.all(one != other)


@pytest.mark.parametrize("train", [True, False])
def test_a_call_hands_pooled_features_and_outputs_on(made, rng, train):
    params, stats = made
    x = rng.normal(size=(8, 5)).astype("f4")
    outputs, moved = NET(params, stats, x, train=train)
    wanted, wanted_stats = all_by_hand(params, stats, x, train)
    assert tuple(outputs) == PARTS
    assert isinstance(outputs["encoder"], Features)
    assert_close(outputs, wanted, rtol=1e-6, atol=1e-6)
    assert_close(moved, wanted_stats, rtol=1e-6)
    assert (jax.tree.leaves(moved)[0] is jax.tree.leaves(stats)[0]) != train


def test_a_call_applies_only_the_parts_whose_params_it_gets(made, rng):
    params, stats = made
    x = rng.normal(size=(8, 5)).astype("f4")
    two = {name: params[name] for name in PARTS[:2]}
    outputs, moved = NET(two, stats, x)
    assert tuple(outputs) == PARTS[:2]
    assert moved["predictor"] is stats["predictor"]
    assert set(moved) == set(PARTS)
    # Heads alone read what the encoder would hand on.
    heads = {name: params[name] for name in PARTS[1:]}
    outputs, moved = NET(heads, stats, x[:, :4])
    assert tuple(outputs) == PARTS[1:]
    assert moved["encoder"] is stats["encoder"]
    wanted, _ = by_hand(HEAD, params["projector"], stats["projector"], x[:, :4])
    np.testing.assert_allclose(outputs["projector"], wanted, rtol=1e-6)


def test_each_is_a_call_for_every_view_in_their_order(made, rng):
    params, stats = made
    views = rng.normal(size=(8, 3, 5)).astype("f4")
    outputs, moved = NET.each(params, stats, views)
    assert outputs["projector"].shape == (8, 3, 3)
    one_by_one = []
    for v in range(3):
        output, stats = all_by_hand(params, stats, views[:, v])
        one_by_one.append(output)
    wanted = jax.tree.map(lambda *leaves: np.stack(leaves, 1), *one_by_one)
    assert_close(outputs, wanted, rtol=1e-5, atol=1e-6)
    assert_close(moved, stats, rtol=1e-5)


def test_together_is_one_call_on_all_rows(made, rng):
    params, stats = made
    views = rng.normal(size=(8, 3, 5)).astype("f4")
    outputs, moved = NET.together(params, stats, views)
    wanted, wanted_stats = all_by_hand(params, stats, views.reshape(24, 5))
    wanted = jax.tree.map(
        lambda leaf: np.asarray(leaf).reshape(8, 3, *leaf.shape[1:]), wanted
    )
    assert_close(outputs, wanted, rtol=1e-5, atol=1e-6)
    assert_close(moved, wanted_stats, rtol=1e-6)
    # Not what `each` does: the statistics moved once, and those of each view differ.
    other, _ = NET.each(params, stats, views)
    assert np.abs(other["projector"] - outputs["projector"]).max() > 1e-2


CROPPED = Network(encoder=ENCODERS["convnet"](widths=(4, 5)), projector=HEAD)


def stacks_of(rng, *shapes):
    return [rng.uniform(size=(4, *shape, 3)).astype("f4") for shape in shapes]


def test_crops_go_size_by_size_through_the_encoder_and_as_one_through_heads(rng):
    stacks = stacks_of(rng, (2, 8, 8), (3, 6, 6), (1, 4, 4))
    params, stats = jax.jit(CROPPED.init)(jax.random.key(0), stacks[0][:, 0])
    outputs, moved = jax.jit(CROPPED.crops)(params, stats, stacks)
    apply = jax.jit(functools.partial(by_hand, CROPPED.parts["encoder"]))
    own, pooled = stats["encoder"], []
    for stack in stacks:
        flat = stack.reshape(-1, *stack.shape[2:])
        features, own = apply(params["encoder"], own, flat)
        pooled.append(np.asarray(features.pooled).reshape(4, -1, 5))
    wanted = np.concatenate(pooled, axis=1)
    z, its = by_hand(
        HEAD, params["projector"], stats["projector"], wanted.reshape(-1, 5)
    )
    wanted = {"encoder": wanted, "projector": np.asarray(z).reshape(4, 6, 3)}
    assert_close(outputs, wanted, rtol=1e-4, atol=1e-5)
    assert_close(moved, {"encoder": own, "projector": its}, rtol=1e-5, atol=1e-6)


def test_every_size_of_crops_draws_its_own_numbers(rng):
    stack = stacks_of(rng, (2, 4, 4))[0]
    net, keys = Network(encoder=Noise()), {"noise": jax.random.key(1)}
    draw = jax.jit(
        lambda stacks: net.crops({"encoder": {}}, {"encoder": {}}, stacks, rngs=keys)
    )
    outputs, _ = draw([stack, stack])
    one, other = outputs["encoder"][:, :2], outputs["encoder"][:, 2:]
    assert np.all(one != other)
    np.testing.assert_array_equal(draw([stack])[0]["encoder"], one)


def test_crops_whose_features_depend_on_their_size_are_refused(rng):
    stacks = stacks_of(rng, (2, 8, 8), (1, 4, 4))
    net = Network(encoder=ENCODERS["convnet"](widths=(4, 5), pool="flat"))
    params, stats = jax.eval_shape(net.init, jax.random.key(0), stacks[0][:, 0])
    with pytest.raises(ValueError, match=r"have \[80, 20\] features, .* their mean"):
        jax.eval_shape(net.crops, params, stats, stacks)


def test_a_copy_holds_the_parts_until_one_as_they_are(made):
    params, stats = made
    for until, names in (("encoder", PARTS[:1]), ("projector", PARTS[:2])):
        copy = NET.copy(params, stats, until=until)
        assert tuple(copy.params) == tuple(copy.stats) == names
        assert_equal(copy.params, {name: params[name] for name in names})
        assert_equal(copy.stats, {name: stats[name] for name in names})


class Pairs(nn.Module):
    """Replaces every row by the mean of it and its neighbour."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        mean = x.reshape(-1, 2, x.shape[-1]).mean(1).repeat(2, 0)
        return Features(mean, mean[:, None])


def test_shuffled_rows_come_back_and_meet_others():
    x = jnp.arange(64.0)[:, None]
    net, nothing = Network(encoder=Pairs()), {"encoder": {}}
    key = jax.random.key(1)
    outputs, _ = net(nothing, nothing, x, shuffle=key)
    mixed = np.asarray(outputs["encoder"].pooled)
    np.testing.assert_array_equal(outputs["encoder"].grid[:, 0], mixed)
    alone = np.asarray(net(nothing, nothing, x)[0]["encoder"].pooled)
    # Every row has met one row, and that row has met it.
    partner = np.round(2 * mixed - x).astype(int)[:, 0]
    np.testing.assert_array_equal(partner[partner], np.arange(64))
    assert np.mean(mixed == alone) < 0.1
    again, _ = net(nothing, nothing, x, shuffle=jax.random.key(2))
    assert np.mean(again["encoder"].pooled == mixed) < 0.1


class Image(nn.Module):
    """A small encoder with batch norm in four groups, and paths that are dropped."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(BatchNorm(groups=4, momentum=0.7, name="norm")(x, train=train))
        x = Branch(drop_path=0.5)(x, train=train)
        return Features(x.mean((1, 2)), x)


@pytest.mark.parametrize(("devices", "chunks"), [(1, 4), (2, 2), (4, 1)])
def test_chunks_change_neither_outputs_nor_statistics_nor_draws(rng, devices, chunks):
    # The head's norm has one group over the batch, so it must see all rows at once.
    net = Network(encoder=Image(), projector=MLP((5, 3), last_norm="affine"))
    x = rng.normal(2, 3, (16, 4, 4, 3)).astype("f4")
    params, stats = jax.jit(net.init)(jax.random.key(0), x)
    keys = {"drop_path": jax.random.key(3)}

    @functools.partial(jax.jit, static_argnums=0)
    def run(chunks, x):
        with in_chunks(chunks):
            return net(params, stats, x, rngs=keys)

    wanted, wanted_stats = run(1, x)
    mesh = make_mesh(devices=jax.devices()[:devices])
    with jax.set_mesh(mesh):
        outputs, moved = run(chunks, jax.device_put(x, row_sharding(mesh)))
    assert_close(outputs, wanted, rtol=1e-4, atol=1e-5)
    assert_close(moved, wanted_stats, rtol=1e-5, atol=1e-6)
    differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), moved, stats)
    assert min(jax.tree.leaves(differences)) > 0


def test_what_is_exported_fits_the_encoder_itself(made):
    params, stats = made
    other = Copy(*jax.tree.map(lambda leaf: leaf + 1, NET.copy(*made, until=PARTS[1])))
    state = NetState(stats, other)
    init = functools.partial(ENCODER.init, train=False)
    own = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 5)))
    for of, source in ((None, Copy(params, stats)), ("teacher", other)):
        kept = NET.evaluated("projector", of=of)
        assert kept["encoder"] is ENCODER
        variables = kept["exports"]["encoder"](params, state)
        assert_same_kind(variables, own)
        wanted = {"params": source.params["encoder"], **source.stats["encoder"]}
        assert_equal(variables, wanted)


@pytest.mark.parametrize("with_teacher", [True, False])
def test_loading_fills_encoder_statistics_and_the_teacher_and_nothing_else(
    made, with_teacher
):
    class Alone(NamedTuple):
        stats: Any

    params, stats = made
    teacher = NET.copy(params, stats, until="projector")
    state = NetState(stats, teacher) if with_teacher else Alone(stats)
    load = NET.evaluated()["loads"]["encoder"]
    assert not load.required
    others = jax.tree.map(lambda leaf: leaf + 1, load.take(params, state))
    new_params, new_state = load.fill(params, state, others)
    assert_equal(load.take(new_params, new_state), others)
    weights, moments = others["params"], {"batch_stats": others["batch_stats"]}
    assert_equal(new_params, {**params, "encoder": weights})
    assert_equal(new_state.stats, {**stats, "encoder": moments})
    if with_teacher:
        assert_equal(new_state.teacher.params, {**teacher.params, "encoder": weights})
        assert_equal(new_state.teacher.stats, {**teacher.stats, "encoder": moments})


def test_health_reads_one_head_in_evaluation_mode(made, rng):
    params, stats = made
    x = rng.normal(size=(8, 5)).astype("f4")
    chance = lambda batch_size: float(batch_size)
    health = NET.evaluated("projector", chance=chance, prototypes=7)["health"]
    # A method may hold params that are no part of the network.
    more = {**params, "prototypes": jnp.zeros(3)}
    found = health.project(more, NetState(stats, None), x)
    wanted, _ = all_by_hand(params, stats, x, train=False)
    np.testing.assert_allclose(found, wanted["projector"], rtol=1e-5, atol=1e-6)
    assert (health.chance(3), health.prototypes) == (3.0, 7)
    assert NET.evaluated()["health"].project is None


SCHEDULE = lambda step: 0.5 + 0.1 * step


@pytest.mark.parametrize(
    ("momentum", "clock", "used"),
    [
        (0.8, "last", [0.8, 0.8, 0.8]),
        (0.8, "next", [0.8, 0.8, 0.8]),
        # The teacher moves after the steps 0, 1 and 2.
        (SCHEDULE, "last", [0.5, 0.6, 0.7]),
        (SCHEDULE, "next", [0.6, 0.7, 0.8]),
    ],
)
def test_a_teacher_follows_as_the_moving_average(made, momentum, clock, used):
    params, stats = made
    follow = Follow(momentum, clock)
    shake = lambda leaf: leaf - 1
    teacher = jax.tree.map(shake, NET.copy(params, stats, until="projector"))
    state = NetState(stats, teacher)
    wanted = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), teacher.params)
    for step, m in enumerate(used):
        logged = SCHEDULE(step) if callable(momentum) else momentum
        assert float(at(momentum, jnp.int32(step))) == pytest.approx(logged)
        moved = jax.tree.map(lambda leaf, s=step: (s + 2) * leaf, params)
        same, state = jax.jit(follow)(moved, state, step=jnp.int32(step + 1))
        assert_equal(same, moved)
        wanted = jax.tree.map(
            lambda old, new, m=m, s=step: m * old + (1 - m) * (s + 2) * np.float64(new),
            wanted,
            {name: params[name] for name in wanted},
        )
    assert_close(state.teacher.params, wanted, rtol=1e-5, atol=1e-6)
    assert_equal(state.teacher.stats, teacher.stats)
    assert_equal(state.stats, stats)
