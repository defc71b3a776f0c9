"""The masked log-sum-exp over rows: float64, any tiles, any mesh, and its transfers."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.parallel.mesh import make_mesh, replicated, row_sharding
from jax_ssl.parallel.ring import (
    different,
    every,
    logsumexp_over_rows,
    sums_over_rows,
)
from tests.references import contrastive as reference

SCALE = 5.0


def banded(x_ids, y_ids):
    """A mask of no symmetry, in which ids divisible by 5 have no pair."""
    return ((x_ids + 2 * y_ids) % 3 > 0) & (x_ids % 5 > 0)


def same_label(x_ids, y_ids):
    (row, label), (other_row, other_label) = x_ids, y_ids
    return (label == other_label) & (row != other_row)


@functools.partial(jax.jit, static_argnames=("allowed", "reach", "block"))
def run(x, y, shift, scale, weights, allowed, reach="ring", block=4):
    """Sums and tops, and the gradients of the weighted sum of the finite lse."""

    def total(x, y, shift, scale):
        lse, top = logsumexp_over_rows(
            x, y, shift, scale=scale, allowed=allowed, reach=reach, block=block
        )
        weighted = jnp.where(jnp.isfinite(lse), weights * lse, 0).sum()
        return weighted + (0 * jnp.where(jnp.isfinite(top), top, 0)).sum(), (lse, top)

    grad = jax.value_and_grad(total, (0, 1, 2, 3), has_aux=True)
    (_, outputs), gradients = grad(x, y, shift, scale)
    return *outputs, gradients


def problem(rng, n, m, D):
    x, y = (rng.normal(size=(rows, D)).astype(np.float32) for rows in (n, m))
    return x, y, *(rng.normal(size=n).astype(np.float32) for _ in range(2))


def expected(x, y, shift, weights, allowed):
    rows, columns = np.arange(len(x))[:, None], np.arange(len(y))[None]
    pairs = np.broadcast_to(allowed(rows, columns), (len(x), len(y)))
    return reference.masked_logsumexp(x, y, shift, SCALE, pairs, weights)


def assert_agrees(got, want):
    lse, top, gradients = got
    np.testing.assert_allclose(lse, want[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(top, want[1], rtol=1e-5, atol=1e-5)
    *want_arrays, want_terms = want[2]
    for a, b in zip(gradients[:3], want_arrays, strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * (np.linalg.norm(b) + 1e-6)
    # Its terms may cancel, but not the roundings of each.
    error = np.abs(gradients[3] - want_terms.sum())
    assert error <= 1e-6 * (np.abs(want_terms).sum() + 1)


@pytest.mark.parametrize(
    ("n", "m", "D", "block", "allowed"),
    [
        (2, 2, 3, 512, different),
        (1, 1, 1, 1, every),
        (7, 5, 4, 3, different),
        (7, 5, 4, 3, every),
        (7, 5, 4, 3, banded),
        (13, 17, 8, 4, banded),
        (16, 1, 5, 7, every),
    ],
)
def test_sums_and_gradients_match_float64_loops(rng, n, m, D, block, allowed):
    x, y, shift, weights = problem(rng, n, m, D)
    got = run(x, y, shift, SCALE, weights, allowed, block=block)
    assert_agrees(got, expected(x, y, shift, weights, allowed))


def test_reference_gradient_matches_central_differences(rng):
    arrays = [np.asarray(a, np.float64) for a in problem(rng, 4, 6, 3)]
    *point, weights = *arrays[:3], np.float64(SCALE), arrays[3]
    pairs = rng.uniform(size=(4, 6)) < 0.7
    directions = [rng.normal(size=np.shape(a)) for a in point]

    def along(t):
        moved = [a + t * d for a, d in zip(point, directions, strict=True)]
        return reference.masked_logsumexp(*moved, pairs, weights)

    terms = zip(along(0)[2], directions, strict=True)
    slope = sum(np.sum(gradient * direction) for gradient, direction in terms)
    difference = weights @ (along(1e-5)[0] - along(-1e-5)[0]) / 2e-5
    np.testing.assert_allclose(difference, slope, rtol=1e-7)


def test_rows_without_a_pair_have_no_sum_and_move_nothing(rng):
    x, y, shift, weights = problem(rng, 7, 5, 4)
    got = run(x, y, shift, SCALE, weights, banded, block=3)
    lse, top, (dx, dy, dshift, dscale) = got
    assert lse[0] == lse[5] == top[0] == top[5] == -np.inf
    assert not np.asarray(dx)[[0, 5]].any()
    assert not np.asarray(dshift)[[0, 5]].any()
    assert all(np.isfinite(a).all() for a in (dx, dy, dscale))


def test_scores_beyond_the_range_of_exp(rng):
    x, y, shift, weights = problem(rng, 5, 6, 4)
    got = run(1e2 * x, y, shift, SCALE, weights, every)
    want = expected(1e2 * x, y, shift, weights, every)
    assert np.abs(want[0]).max() > 200
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    # One pair has all the weight; its score is off by 1e-7 of a thousand.
    np.testing.assert_allclose(got[2][0], want[2][0], rtol=1e-3, atol=1e-3)


def test_half_precision_rows_are_widened_and_their_gradients_narrowed(rng):
    x, y, shift, weights = problem(rng, 9, 7, 8)
    narrow = [jnp.asarray(a, jnp.bfloat16) for a in (x, y)]
    lse, _, (dx, dy, *_) = run(*narrow, shift, SCALE, weights, every)
    wide = [np.asarray(a, np.float32) for a in narrow]
    want = expected(*wide, shift, weights, every)
    assert lse.dtype == jnp.float32
    assert dx.dtype == dy.dtype == jnp.bfloat16
    np.testing.assert_allclose(lse, want[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.float32(dx), want[2][0], rtol=0.01, atol=0.01)


MOVES = {
    # Rows forward; rows and gradient backward; the gradient's last hop, home.
    "ring": {"collective-permute": 4, "all-reduce": 1},
    "gather": {"all-gather": 1, "reduce-scatter": 1, "all-reduce": 1},
    "whole": {"all-reduce": 1},
}


class TestDevices:
    @pytest.mark.parametrize(
        ("reach", "devices", "fsdp"),
        [
            ("ring", 1, 1),
            ("ring", 2, 1),
            ("ring", 4, 2),
            ("ring", 8, 4),
            ("gather", 4, 2),
            ("gather", 8, 1),
            ("whole", 2, 2),
            ("whole", 8, 1),
        ],
    )
    def test_sums_and_gradients_match_float64_loops(self, rng, devices, fsdp, reach):
        # 3 or 5 rows of a device do not fill tiles of 4; nor do the 7 of a queue.
        n, m = 24, 7 if reach == "whole" else 40
        x, y, shift, weights = problem(rng, n, m, 4)
        mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
        where = row_sharding(mesh)
        with jax.set_mesh(mesh):
            args = [
                jax.device_put(x, where),
                jax.device_put(y, replicated(mesh) if reach == "whole" else where),
                jax.device_put(shift, where),
            ]
            got = run(*args, SCALE, weights, banded, reach=reach)
            assert got[2][0].sharding.is_equivalent_to(where, 2)
        assert_agrees(got, expected(x, y, shift, weights, banded))

    def test_ids_travel_with_their_rows(self, rng):
        x, _, shift, weights = problem(rng, 16, 1, 4)
        labels = rng.integers(0, 3, 16)
        ids = (jnp.arange(16), jnp.asarray(labels))
        pairs = (labels[:, None] == labels) & ~np.eye(16, dtype=bool)
        want = reference.masked_logsumexp(x, x, shift, SCALE, pairs, weights)
        mesh = make_mesh()
        for reach in ("ring", "gather"):
            with jax.set_mesh(mesh):
                sharded = jax.device_put((x, ids), row_sharding(mesh))
                lse, top = jax.jit(
                    lambda x, ids, reach=reach: logsumexp_over_rows(
                        x,
                        x,
                        shift,
                        scale=SCALE,
                        allowed=same_label,
                        x_ids=ids,
                        y_ids=ids,
                        reach=reach,
                    )
                )(*sharded)
            np.testing.assert_allclose(lse, want[0], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(top, want[1], rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("reach", MOVES)
    def test_what_crosses_the_wires_and_what_a_device_holds(self, reach):
        n, D, block = 1024, 8, 32
        mesh = make_mesh(fsdp=2)
        rows = functools.partial(
            jax.ShapeDtypeStruct, dtype=jnp.float32, sharding=row_sharding(mesh)
        )

        def loss(x, y, shift):
            lse, _ = logsumexp_over_rows(
                x, y, shift, scale=SCALE, reach=reach, block=block
            )
            return lse.mean()

        with jax.set_mesh(mesh):
            y = rows((n, D))
            if reach == "whole":
                y = jax.ShapeDtypeStruct(y.shape, y.dtype, sharding=replicated(mesh))
            step = jax.jit(jax.value_and_grad(loss, (0, 1)))
            text = step.lower(rows((n, D)), y, rows((n,))).compile().as_text()
        # Row numbers travel too, but are integers.
        moved = re.findall(
            r"= \(?(f32\[[\d,]*\]).* (all-gather|all-to-all|all-reduce|reduce-scatter|"
            r"collective-permute)(?:-start)?\(",
            text,
        )
        counts = {}
        for _, kind in moved:
            counts[kind] = counts.get(kind, 0) + 1
        assert counts == MOVES[reach]
        sizes = {
            int(np.prod([int(d) for d in dims.split(",")]))
            for dims in re.findall(r"\w\d+\[([\d,]+)\]", text)
        }
        assert block * block in sizes
        held = n // 8 if reach == "ring" else n
        assert max(sizes) == max(block * block, held * D)

    def test_a_gradient_that_nobody_wants_is_not_passed_around(self):
        mesh = make_mesh()
        x = jax.ShapeDtypeStruct((64, 8), jnp.float32, sharding=row_sharding(mesh))

        def loss(q, k):
            k = jax.lax.stop_gradient(k)
            lse, _ = logsumexp_over_rows(q, k, jnp.zeros(64), scale=SCALE)
            return lse.mean()

        with jax.set_mesh(mesh):
            step = jax.jit(jax.value_and_grad(loss))
            text = step.lower(x, x).compile().as_text()
        assert len(re.findall(r"= \(?f32.* collective-permute(?:-start)?\(", text)) == 2


def test_memory_grows_with_the_rows_and_not_with_their_pairs():
    def temporaries(n):
        x = jax.ShapeDtypeStruct((n, 32), jnp.float32)
        loss = lambda x: logsumexp_over_rows(x, x, x[:, 0], scale=SCALE)[0].mean()
        compiled = jax.jit(jax.value_and_grad(loss)).lower(x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    small, large = temporaries(8192), temporaries(16384)
    assert large < 2.1 * small
    assert large < 16384**2 * 4 / 50


def test_refusals_name_the_value():
    x = jnp.ones((6, 3))
    with pytest.raises(ValueError, match="reach = 'rings'"):
        logsumexp_over_rows(x, x, x[:, 0], scale=1, reach="rings")
    with pytest.raises(AssertionError):
        logsumexp_over_rows(x, jnp.ones((6, 2)), x[:, 0], scale=1)
    with (
        jax.set_mesh(make_mesh()),
        pytest.raises(ValueError, match="8 devices cannot share the 6 rows of x"),
    ):
        logsumexp_over_rows(x, x, x[:, 0], scale=1)


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("block", [3, 1024])
def test_sums_and_their_gradient_are_those_of_the_matrix(rng, devices, block):
    x, weights = (rng.normal(size=(16, 5)).astype(np.float32) for _ in range(2))
    ids = (np.arange(16), rng.integers(0, 4, 16))
    matrix = (ids[1][:, None] == ids[1]) & ~np.eye(16, dtype=bool)

    def total(x):
        sums = sums_over_rows(x, ids, allowed=same_label, block=block)
        return (weights * jnp.sin(sums)).sum(), sums

    mesh = make_mesh(devices=jax.devices()[:devices])
    with jax.set_mesh(mesh):
        placed = jax.device_put(x, row_sharding(mesh))
        (_, sums), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(placed)
    expected = matrix @ x.astype(np.float64)
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
    slope = matrix.T @ (weights * np.cos(expected))
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-5)
