"""NPID's losses and memory: float64 loops, closed forms, devices and their traffic."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.losses.instance import (
    bank_info_nce,
    bank_nce,
    bank_softmax,
    contrast_chance,
    new_bank,
    remember,
)
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.references import contrastive, instance, multiview

B, D, M, N = 16, 12, 40, 300
known = {"num_examples": N, "temperature": 0.1}
softmax = jax.jit(
    jax.value_and_grad(functools.partial(bank_softmax, **known), has_aux=True)
)
nce = jax.jit(jax.value_and_grad(functools.partial(bank_nce, **known), has_aux=True))
few = jax.jit(
    jax.value_and_grad(functools.partial(bank_info_nce, temperature=0.1), has_aux=True)
)
moved = jax.jit(functools.partial(remember, momentum=0.5))


@pytest.fixture
def drawn(rng):
    """(v, index, slots, bank), float32 unit rows."""
    v, bank = (
        contrastive.unit_rows(rng.normal(size=(n, D)))[0].astype(np.float32)
        for n in (B, N)
    )
    # A few rows have found their place, as after some epochs.
    index = rng.permutation(N)[:B].astype(np.int32)
    bank[index[:4]] = v[:4]
    slots = rng.integers(0, N, (B, M)).astype(np.int32)
    slots[5, 3] = index[5]  # Noise may be the image itself.
    return v, index, slots, bank


def filled(bank):
    """The bank as it is kept, filled up with rows that must not be read."""
    junk = new_bank(jax.random.key(1), N, D)
    return junk.at[:N].set(bank)


def assert_close(got, want, tolerance=1e-5):
    assert np.linalg.norm(got - want) <= tolerance * np.linalg.norm(want)


def test_softmax_and_gradient_match_float64_loops(drawn):
    v, index, _, bank = drawn
    (value, terms), gradient = softmax(v, index, filled(bank))
    expected, wanted = instance.softmax(v, index, bank, 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert_close(gradient, wanted)
    scores = v.astype(np.float64) @ bank.T
    own = scores[np.arange(B), index]
    np.testing.assert_allclose(terms["positive_similarity"], own.mean(), rtol=1e-5)
    scores[np.arange(B), index] = -np.inf
    leads = np.mean(own > scores.max(1))
    np.testing.assert_allclose(terms["contrastive_accuracy"], leads)


def test_nce_and_gradient_match_float64_loops(drawn):
    v, index, slots, bank = drawn
    estimate = instance.partition(v, index, slots, bank, 0.1)
    for given in (0.0, 1e4):
        (value, terms), gradient = nce(
            v, index, slots, filled(bank), partition=jnp.float32(given)
        )
        z = given or estimate
        np.testing.assert_allclose(terms["partition"], z, rtol=1e-5)
        # The estimate is a constant: the reference's gradient holds it still.
        expected, wanted = instance.nce(v, index, slots, bank, z, 0.1)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert_close(gradient, wanted)


def test_softmax_among_the_slots_matches_float64_loops(drawn, rng):
    v, index, slots, bank = drawn
    (value, terms), gradient = few(v, index, slots, filled(bank))
    wide = [x.astype(np.float64) for x in (v, bank)]
    expected = multiview.softmax(wide[0], index, slots, wide[1], 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    direction = rng.normal(size=v.shape)
    ahead, behind = (
        multiview.softmax(wide[0] + h * direction, index, slots, wide[1], 0.1)
        for h in (1e-6, -1e-6)
    )
    slope = np.sum(np.asarray(gradient, np.float64) * direction)
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-4)
    own = (wide[0] * wide[1][index]).sum(1)
    leads = own > np.einsum("bd,bmd->bm", wide[0], wide[1][slots]).max(1) + 1e-6
    np.testing.assert_allclose(terms["contrastive_accuracy"], leads.mean())


def test_reference_gradients_are_those_of_central_differences(rng, drawn):
    v, index, slots, bank = drawn
    direction = rng.normal(size=v.shape)
    for loss in (
        lambda v: instance.softmax(v, index, bank, 0.1),
        lambda v: instance.nce(v, index, slots, bank, 1e4, 0.1),
    ):
        ahead, behind = (loss(v + h * direction)[0] for h in (1e-6, -1e-6))
        slope = np.sum(loss(v)[1] * direction)
        np.testing.assert_allclose((ahead - behind) / 2e-6, slope, rtol=1e-6)


def test_chance(drawn):
    v, index, slots, bank = drawn
    alike = np.broadcast_to(v[:1], v.shape)
    flat = filled(np.broadcast_to(v[:1], bank.shape))
    (value, terms), _ = softmax(alike, index, flat)
    np.testing.assert_allclose(value, np.log(N), rtol=1e-5)
    assert float(terms["contrastive_accuracy"]) == 0
    # Equal scores: the estimate is n exp(s / τ), and P = 1 / n.
    (value, _), _ = nce(alike, index, slots, flat, partition=jnp.float32(0))
    np.testing.assert_allclose(value, np.log(1 + M) + M * np.log1p(1 / M), rtol=1e-5)
    np.testing.assert_allclose(contrast_chance("nce", M), value, rtol=1e-5)
    (value, _), _ = few(alike, index, slots, flat)
    np.testing.assert_allclose(value, np.log(1 + M), rtol=1e-5)
    np.testing.assert_allclose(contrast_chance("softmax", M), value, rtol=1e-5)


def test_estimate_over_every_slot_once_is_the_exact_partition(drawn):
    v, _, _, bank = drawn
    index = np.zeros(1, np.int32)
    slots = np.arange(1, N, dtype=np.int32)[None]
    (_, terms), _ = nce(v[:1], index, slots, filled(bank), partition=jnp.float32(0))
    exact = np.exp(v[:1].astype(np.float64) @ bank.T / 0.1).sum()
    np.testing.assert_allclose(terms["partition"], exact, rtol=1e-5)


def test_memory_moves_in_its_own_rows_only(drawn):
    v, index, _, bank = drawn
    before = filled(bank)
    after = np.asarray(moved(before, index, v))
    want = instance.remember(before, index, v, 0.5)
    np.testing.assert_allclose(after, want, atol=1e-6)
    others = np.setdiff1d(np.arange(len(after)), index)
    np.testing.assert_array_equal(after[others], np.asarray(before)[others])
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("fsdp", [1, 4, 8])
def test_devices_agree(drawn, fsdp):
    v, index, slots, bank = drawn
    bank = filled(bank)
    zero = jnp.float32(0)
    expected = (
        softmax(v, index, bank),
        nce(v, index, slots, bank, partition=zero),
        few(v, index, slots, bank),
        moved(bank, index, v),
    )
    mesh = make_mesh(fsdp=fsdp)
    with jax.set_mesh(mesh):
        v, index, slots = jax.device_put((v, index, slots), row_sharding(mesh))
        bank = jax.device_put(bank, NamedSharding(mesh, P("fsdp")))
        found = (
            softmax(v, index, bank),
            nce(v, index, slots, bank, partition=zero),
            few(v, index, slots, bank),
            moved(bank, index, v),
        )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        found,
        expected,
    )
    assert found[-1].sharding.is_equivalent_to(bank.sharding, 2)


@pytest.mark.parametrize("objective", ["softmax", "nce"])
def test_the_bank_stays_where_it_is(drawn, objective):
    """Questions, answers and new rows travel; no device holds more than its piece."""
    rows = 4096
    v, index, slots, _ = drawn
    settings = {"num_examples": rows - 5, "temperature": 0.1}

    def step(v, index, slots, bank):
        def value(v):
            if objective == "softmax":
                return bank_softmax(v, index, bank, **settings)[0]
            z = jnp.float32(0)
            return bank_nce(v, index, slots, bank, partition=z, **settings)[0]

        gradient = jax.grad(value)(v)
        return gradient, remember(bank, index, v, momentum=0.5)

    mesh = make_mesh(fsdp=4)
    with jax.set_mesh(mesh):
        v, index, slots = jax.device_put((v, index, slots), row_sharding(mesh))
        place = NamedSharding(mesh, P("fsdp"))
        bank = jax.device_put(jnp.ones((rows, D)), place)
        compiled = jax.jit(step, donate_argnums=3, out_shardings=(None, place))
        text = compiled.lower(v, index, slots, bank).compile().as_text()
    assert f"f32[{rows // 4},{D}]" in text
    assert f"[{rows},{D}]" not in text
    kinds = "all-gather|all-to-all|all-reduce|reduce-scatter|collective-permute"
    traffic = re.findall(rf"= (.*?) (?:{kinds})(?:-start)?\(", text)
    assert traffic
    for shape in re.findall(r"\[([\d,]+)\]", " ".join(traffic)):
        # Nothing larger than the answers of all pieces: [B, fsdp, m].
        assert np.prod([int(n) for n in shape.split(",")]) <= B * 4 * M
