"""Blocked top-k against a full sort in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jax_ssl.parallel.mesh import make_mesh, replicated, row_sharding
from jax_ssl.parallel.neighbors import top_k
from jax_ssl.parallel.rows import map_examples
from tests.references import neighbors as reference


@pytest.mark.parametrize(
    ("num_queries", "num_rows", "width", "k", "block"),
    [(5, 37, 7, 4, 8), (2, 9, 3, 9, 4), (1, 1, 1, 1, 16), (6, 32, 5, 10, 8)],
)
def test_finds_the_rows_that_a_full_sort_finds(
    rng, num_queries, num_rows, width, k, block
):
    queries = rng.normal(size=(num_queries, width)).astype(np.float32)
    bank = rng.normal(size=(num_rows, width)).astype(np.float32)
    scores, rows = top_k(jnp.asarray(queries), jnp.asarray(bank), k, block=block)
    expected_scores, expected_rows = reference.top_k(queries, bank, k)
    assert scores.dtype == jnp.float32
    assert rows.dtype == jnp.int32
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block", [1, 3, 7, 16, 20, 100])
def test_the_block_changes_nothing_even_among_ties(rng, block):
    # Small whole numbers: every product is exact and most scores have equals.
    queries = jnp.asarray(rng.integers(-2, 3, size=(9, 4)), jnp.float32)
    bank = jnp.asarray(rng.integers(-2, 3, size=(20, 4)), jnp.float32)
    scores, rows = top_k(queries, bank, 11, block=block)
    expected_scores, expected_rows = reference.top_k(queries, bank, 11)
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(rows, expected_rows)


def test_the_bank_order_moves_the_rows_and_not_the_scores(rng):
    queries = jnp.asarray(rng.normal(size=(6, 8)), jnp.float32)
    bank = rng.normal(size=(50, 8)).astype(np.float32)
    order = rng.permutation(50)
    scores, rows = top_k(queries, jnp.asarray(bank), 5, block=16)
    moved_scores, moved_rows = top_k(queries, jnp.asarray(bank[order]), 5, block=16)
    np.testing.assert_allclose(moved_scores, scores, rtol=1e-6)
    np.testing.assert_array_equal(order[moved_rows], rows)


def test_half_precision_inputs_are_compared_in_float32(rng):
    queries = jnp.asarray(rng.normal(size=(3, 8)), jnp.bfloat16)
    bank = jnp.asarray(rng.normal(size=(12, 8)), jnp.bfloat16)
    scores, rows = top_k(queries, bank, 3)
    wide = [np.asarray(x.astype(jnp.float32)) for x in (queries, bank)]
    np.testing.assert_array_equal(rows, reference.top_k(*wide, 3)[1])
    assert scores.dtype == jnp.float32


@pytest.mark.parametrize("bank_spec", [P(), P(("data", "fsdp"))])
def test_a_mesh_gives_the_answer_of_one_device(rng, bank_spec):
    queries = rng.normal(size=(16, 6)).astype(np.float32)
    bank = rng.normal(size=(40, 6)).astype(np.float32)
    mesh = make_mesh(fsdp=2)
    held = jax.device_put(bank, jax.sharding.NamedSharding(mesh, bank_spec))
    mine = jax.device_put(queries, row_sharding(mesh))
    search = jax.jit(lambda q, b: top_k(q, b, 7, block=16))
    rows = search(mine, held)[1]
    np.testing.assert_array_equal(rows, reference.top_k(queries, bank, 7)[1])


def test_rows_split_by_map_examples_do_not_communicate(rng):
    queries = rng.normal(size=(16, 6)).astype(np.float32)
    bank = rng.normal(size=(40, 6)).astype(np.float32)

    @jax.jit
    def search(queries, bank):
        def one(key, query):
            return top_k(query[None], bank, 7, block=16)[1][0]

        return map_examples(one, jax.random.key(0), queries)

    mesh = make_mesh()
    with jax.set_mesh(mesh):
        args = (
            jax.device_put(queries, row_sharding(mesh)),
            jax.device_put(bank, replicated(mesh)),
        )
        text = search.lower(*args).compile().as_text()
        rows = search(*args)
    np.testing.assert_array_equal(rows, reference.top_k(queries, bank, 7)[1])
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in text


@pytest.mark.parametrize("k", [0, 5])
def test_more_neighbours_than_rows_are_refused(k):
    with pytest.raises(ValueError, match=rf"k = {k} must be in \[1, 4\]"):
        top_k(jnp.ones((2, 3)), jnp.ones((4, 3)), k)


def test_unequal_widths_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\) and bank \(4, 5\)"):
        top_k(jnp.ones((2, 3)), jnp.ones((4, 5)), 1)
