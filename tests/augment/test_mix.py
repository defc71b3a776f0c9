"""Mixup and CutMix: timm's law and pixels, on any number of devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import mix
from jax_ssl.ops.resize import Box
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests import laws
from tests.judges import judge
from tests.references import policies as reference

DRAWS = 6000
HEIGHT, WIDTH = 40, 56
MAE = {"mixup": 0.8, "cutmix": 1.0, "probability": 1.0, "switch_probability": 0.5}
CASES = {
    "mixup alone": {**MAE, "mixup": 1.0, "cutmix": 0.0},
    "cutmix alone": {**MAE, "mixup": 0.0},
    "seldom": {**MAE, "probability": 0.4, "switch_probability": 0.2, "mixup": 1.0},
}


def drawn(**settings):
    keys = jax.random.split(jax.random.key(7), DRAWS)
    draw = jax.jit(jax.vmap(lambda key: mix.random_mix(key, HEIGHT, WIDTH, **settings)))
    return jax.tree.map(np.asarray, draw(keys))


def law(mixup, cutmix, probability, switch_probability, count=DRAWS):
    rng = np.random.default_rng(3)
    args = (mixup, cutmix, probability, switch_probability, HEIGHT, WIDTH)
    return [reference.mix_parameters(rng, *args) for _ in range(count)]


def check_law(ours, expected):
    share, box, weight = zip(*expected, strict=True)
    laws.follows_the_same(ours.share.astype(float).round(5), np.round(share, 5))
    laws.follows_the_same(ours.weight.astype(float).round(5), np.round(weight, 5))
    cuts = np.array(box)[:, 2] > 0
    laws.has_probability(ours.box.height > 0, cuts.mean())
    for got, theirs in zip(ours.box, np.array(box).T, strict=True):
        if cuts.any():
            laws.follows_the_same(got[ours.box.height > 0], theirs[cuts])


@pytest.fixture(scope="module")
def maes():
    return drawn(**MAE)


def test_defaults_are_maes(maes):
    check_law(maes, law(**MAE))
    for ours, same in zip(maes[::2], drawn()[::2], strict=True):
        np.testing.assert_array_equal(ours, same)


@pytest.mark.parametrize("case", CASES)
def test_mix_follows_timms_law(case):
    check_law(drawn(**CASES[case]), law(**CASES[case]))


@pytest.mark.parametrize(
    "wrong",
    [{"mixup": 1.5}, {"cutmix": 0.5}, {"switch_probability": 0.6}],
)
def test_a_wrong_law_would_be_seen(maes, wrong):
    with pytest.raises(AssertionError):
        check_law(maes, law(**{**MAE, **wrong}))


def test_the_reference_is_timms():
    timm = judge("timm.data.mixup")
    np.random.seed(5)
    theirs = timm.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=4)
    share, weight = [], []
    for _ in range(3000):
        drawn_share, cuts = theirs._params_per_batch()
        weight.append(1.0 if cuts else drawn_share)
        if cuts:
            shape = (8, 3, HEIGHT, WIDTH)
            drawn_share = timm.cutmix_bbox_and_lam(shape, drawn_share)[1]
        share.append(float(drawn_share))
    expected = law(**MAE)
    laws.follows_the_same(np.round(share, 5), np.round([e[0] for e in expected], 5))
    laws.follows_the_same(np.round(weight, 5), np.round([e[2] for e in expected], 5))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(1)
    labels = np.eye(5)[rng.integers(0, 5, 16)]
    return rng.random((16, 8, 9, 3)).astype(np.float32), labels.astype(np.float32)


BOX = (2, 3, 4, 5)
MIXES = {
    "mixup": (0.3, (0, 0, 0, 0), 0.3),
    "cutmix": (1 - 20 / 72, BOX, 1.0),
    "nothing": (1.0, (0, 0, 0, 0), 1.0),
}


@pytest.mark.parametrize("name", MIXES)
def test_rows_are_mixed_with_the_reversed_batch(rows, name):
    share, box, weight = MIXES[name]
    chosen = mix.Mix(*map(jnp.float32, (share,)), Box(*map(jnp.float32, box)), weight)
    got = jax.jit(mix.apply_mix)(*rows, chosen)
    expected = reference.mixed(*rows, share, box, weight)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(got[1].sum(1), 1, atol=1e-6)


def test_a_row_of_its_own_mix_each(rows):
    images, targets = rows
    chosen = mix.random_mix(jax.random.key(0), 8, 9, mixup=1.0, rows=16)
    assert len(np.unique(chosen.share)) > 12
    got = jax.jit(mix.apply_mix)(images, targets, chosen)
    for i in range(16):
        box = [int(side[i]) for side in chosen.box]
        share, weight = float(chosen.share[i]), float(chosen.weight[i])
        expected = reference.mixed(images, targets, share, box, weight)
        np.testing.assert_allclose(got[0][i], expected[0][i], atol=1e-6)
        np.testing.assert_allclose(got[1][i], expected[1][i], atol=1e-6)


def test_partners_stay_in_their_group():
    x = jnp.arange(12)
    np.testing.assert_array_equal(mix.partners(x), x[::-1])
    grouped = mix.partners(x, groups=3)
    np.testing.assert_array_equal(grouped, [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8])
    with pytest.raises(ValueError, match="12 rows cannot be cut into 5 groups"):
        mix.partners(x, groups=5)


def compiled(rows, count, groups, fn):
    mesh = make_mesh(devices=jax.devices()[:count])
    with jax.set_mesh(mesh):
        placed = jax.device_put(rows, row_sharding(mesh))
        whole = (row_sharding(mesh), row_sharding(mesh))
        program = jax.jit(fn, out_shardings=whole).lower(*placed).compile()
        return jax.tree.map(np.asarray, program(*placed)), program.as_text()


def collectives(text):
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
    return set(re.findall(rf"\b({kinds})(?:-start)?\(", text))


@pytest.mark.parametrize("groups", [1, 8])
def test_mixing_does_not_depend_on_the_devices_nor_costs_more_than_it_must(
    rows, groups
):
    """A permutation of shards, or nothing where the partners are at home."""
    images, targets = rows
    drawn_mix = mix.random_mix(jax.random.key(4), 8, 9, mixup=0.0)

    def fn(images, targets):
        return mix.apply_mix(images, targets, drawn_mix, groups=groups)

    expected = jax.jit(fn)(images, targets)
    assert np.abs(expected[0] - images).max() > 0.1
    for count in (1, 2, 4, 8):
        got, text = compiled(rows, count, groups, fn)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
        wires = {"collective-permute"} if groups == 1 and count > 1 else set()
        assert collectives(text) == wires


def test_draws_are_the_same_on_eight_devices(rows):
    def fn(images, targets):
        key = jax.random.key(4)
        # Beta(1, 1) is uniform; other amounts cost each program a sampler to compile.
        drawn_mix = mix.random_mix(key, 8, 9, mixup=1.0, rows=len(images))
        return mix.apply_mix(images, targets, drawn_mix, groups=8)

    got, text = compiled(rows, 8, 8, fn)
    for a, b in zip(got, jax.jit(fn)(*rows), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert not collectives(text)


def test_negative_amounts_are_refused():
    for wrong in ({"mixup": -1.0}, {"mixup": 0.0, "cutmix": 0.0}):
        with pytest.raises(ValueError, match="amounts are positive"):
            mix.random_mix(jax.random.key(0), 8, 8, **wrong)
