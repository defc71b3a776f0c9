import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.parallel.mesh import make_mesh, replicated, row_sharding
from jax_ssl.plan.collectives import Collective, collectives, wire_bytes
from jax_ssl.plan.hlo import read
from jax_ssl.plan.roofline import roofline
from jax_ssl.plan.topology import SLICES, Slice

LINES = {
    "lists": "replica_groups={{0,1,2,3},{4,5,6,7}}",
    "iota": "replica_groups=[2,4]<=[8]",
    "transposed": "replica_groups=[2,4]<=[4,2]T(1,0)",
    "mesh": "replica_groups=mesh['x'=2,'y'=4] {'y'}, use_global_device_ids=true",
}


def program(groups):
    return f"""\
HloModule jit_f

%sum (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %s = f32[] add(%a, %b)
}}

%branch (u: f32[6]) -> f32[6] {{
  %u = f32[6]{{0}} parameter(0)
  ROOT %r = f32[6]{{0}} all-reduce(%u), {groups}, to_apply=%sum
}}

%other (v: f32[6]) -> f32[6] {{
  ROOT %v = f32[6]{{0}} parameter(0)
}}

%body (p: (s32[], f32[6])) -> (s32[], f32[6]) {{
  %p = (s32[], f32[6]{{0}}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[6]{{0}} get-tuple-element(%p), index=1
  %y = f32[6]{{0}} all-reduce(%x), {groups}, to_apply=%sum
  ROOT %t = (s32[], f32[6]{{0}}) tuple(%i, %y)
}}

%cond (c: (s32[], f32[6])) -> pred[] {{
  %c = (s32[], f32[6]{{0}}) parameter(0)
  %j = s32[] get-tuple-element(%c), index=0
  %n = s32[] constant(3)
  ROOT %lt = pred[] compare(%j, %n), direction=LT
}}

ENTRY %main (z: bf16[2,5], w: f32[6], k: s32[]) -> f32[6] {{
  %z = bf16[2,5]{{1,0}} parameter(0)
  %w = f32[6]{{0}} parameter(1)
  %k = s32[] parameter(2)
  %g = (bf16[2,5], bf16[8,5]) all-gather-start(%z), {groups}, dimensions={{0}}
  %h = bf16[8,5]{{1,0}} all-gather-done(%g)
  %both = (f32[6], bf16[2,5]) all-reduce(%w, %z), {groups}, to_apply=%sum
  %w1 = f32[6]{{0}} get-tuple-element(%both), index=0
  %moved = f32[6]{{0}} collective-permute(%w), source_target_pairs={{{{0,1}},{{1,0}}}}
  %still = f32[6]{{0}} collective-permute(%w), source_target_pairs={{{{0,0}},{{1,1}}}}
  %init = (s32[], f32[6]{{0}}) tuple(%k, %w1)
  %loop = (s32[], f32[6]{{0}}) while(%init), condition=%cond, body=%body
  %l = f32[6]{{0}} get-tuple-element(%loop), index=1
  ROOT %q = f32[6]{{0}} conditional(%k, %l, %l), branch_computations={{%branch, %other}}
}}
"""


@pytest.mark.parametrize("groups", LINES.values(), ids=LINES)
def test_collectives_are_counted_in_every_spelling(groups):
    found = {
        (one.kind, one.conditional): one
        for one in collectives(read(program(groups)), num_devices=8)
    }
    assert len(found) == 4
    gather = found["all-gather", False]
    assert (gather.count, gather.group, gather.looped) == (1, 4, 0)
    assert gather.bytes == 4 * 2 * 5 * 2
    assert gather.wire_bytes == 0.75 * gather.bytes
    reduce = found["all-reduce", False]  # One of two arrays, and three turns of one.
    assert (reduce.count, reduce.looped) == (4, 3)
    assert reduce.bytes == 6 * 4 + 2 * 5 * 2 + 3 * 6 * 4
    assert reduce.wire_bytes == 1.5 * reduce.bytes
    permute = found["collective-permute", False]  # To oneself, nothing is sent.
    assert (permute.count, permute.wire_bytes) == (1, 24)
    assert found["all-reduce", True].count == 1


def test_wire_bytes_of_the_kinds():
    for n in (2, 5):
        share = (n - 1) / n
        assert wire_bytes("all-gather", 10.0, n) == 10 * share
        assert wire_bytes("reduce-scatter", 10.0, n) == 10 * share
        assert wire_bytes("all-reduce", 10.0, n) == 20 * share
        assert wire_bytes("collective-permute", 10.0, n) == 10


def test_a_compiled_gather_has_the_bytes_of_its_closed_form():
    mesh = make_mesh()
    rows = jax.ShapeDtypeStruct((32, 6), jnp.float32, sharding=row_sharding(mesh))
    weight = jax.ShapeDtypeStruct((6, 10), jnp.float32, sharding=replicated(mesh))

    def f(x, w):
        def mine(x, w):
            everyone = jax.lax.all_gather(x, ("data", "fsdp"), axis=0, tiled=True)
            return jnp.tanh(everyone @ w).sum(0)[None]

        spec = P(("data", "fsdp"))
        y = jax.shard_map(mine, mesh=mesh, in_specs=(spec, P()), out_specs=spec)(x, w)
        return y.sum(0)

    compiled = jax.jit(f, out_shardings=replicated(mesh)).lower(rows, weight).compile()
    found = {c.kind: c for c in collectives(read(compiled.as_text()), mesh.size)}
    assert found["all-gather"].bytes == 32 * 6 * 4
    assert found["all-gather"].wire_bytes == 28 * 6 * 4
    assert found["all-reduce"].bytes == 10 * 4
    assert set(found) == {"all-gather", "all-reduce"}


def test_an_all_reduce_in_a_compiled_scan_counts_every_turn():
    mesh = make_mesh()
    x = jax.ShapeDtypeStruct(
        (5, 16, 4), jnp.float32, sharding=NamedSharding(mesh, P(None, ("data", "fsdp")))
    )

    def f(x):
        def turn(total, x):
            return jnp.sin(total + (x**2).sum(0)), None

        return jax.lax.scan(turn, jnp.zeros(4), x)[0]

    compiled = jax.jit(f, out_shardings=replicated(mesh)).lower(x).compile()
    (one,) = collectives(read(compiled.as_text()), mesh.size)
    assert (one.kind, one.count, one.looped) == ("all-reduce", 5, 5)
    assert one.bytes == 5 * 4 * 4


def test_roofline_names_the_longest_part():
    where = Slice("v5e:4x8", [None] * 32, SLICES["v5e"], (4, 8))
    reduce = Collective(
        kind="all-reduce", group=32, count=1, looped=0, bytes=1e9, wire_bytes=2e9
    )
    maybe = Collective(
        kind="all-reduce",
        group=32,
        count=1,
        looped=0,
        bytes=1e15,
        wire_bytes=2e15,
        conditional=True,
    )
    bounds = roofline(
        where, flops=32 * 197e12, memory_bytes=0.5 * 819e9, collectives=[reduce, maybe]
    )
    np.testing.assert_allclose(
        [bounds[f"{part}_seconds"] for part in ("compute", "memory", "network")],
        [1.0, 0.5, 2e9 / 100e9],
    )
    assert (bounds["bound"], bounds["step_seconds"]) == ("compute", 1.0)
    cpu = Slice("cpu:8", [None] * 8, None, (8,))
    assert roofline(cpu, flops=1.0, memory_bytes=1.0, collectives=[]) is None
