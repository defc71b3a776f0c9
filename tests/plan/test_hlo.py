import functools
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from jax_ssl.plan.hlo import Place, Shape, read
from jax_ssl.plan.sizes import (
    largest_temporaries,
    program_sizes,
    refused_temporaries,
)
from jax_ssl.plan.traffic import memory_bytes


class State(NamedTuple):
    """What the paths of a train state begin with."""

    params: Any
    opt_state: Any


# A loop of 5 turns from 2 to 7 that cuts a row and writes it back, as XLA prints it.
LOOP = """\
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[8,256]{1,0})->f32[]}

%cut (p.0: f32[8,256], p.1: s32[]) -> f32[1,256] {
  %p.0 = f32[8,256]{1,0} parameter(0)
  %p.1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %ds = f32[1,256]{1,0} dynamic-slice(%p.0, %p.1, %zero), slice_sizes={1,256}
}

%put (q.0: f32[8,256], q.1: f32[1,256], q.2: s32[]) -> f32[8,256] {
  %q.0 = f32[8,256]{1,0} parameter(0)
  %q.1 = f32[1,256]{1,0} parameter(1)
  %q.2 = s32[] parameter(2)
  %zero.1 = s32[] constant(0)
  ROOT %dus = f32[8,256]{1,0} dynamic-update-slice(%q.0, %q.1, %q.2, %zero.1)
}

%body (b: (s32[], f32[8,256])) -> (s32[], f32[8,256]) {
  %b = (s32[], f32[8,256]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%b), index=0
  %x = f32[8,256]{1,0} get-tuple-element(%b), index=1
  %row = f32[1,256]{1,0} fusion(%x, %i), kind=kLoop, calls=%cut
  %new = f32[8,256]{1,0} fusion(%x, %row, %i), kind=kLoop, calls=%put
  %one = s32[]{:S(2)} constant(1)
  %next = s32[]{:S(2)} add(%i, %one)
  ROOT %t = (s32[], f32[8,256]{1,0}) tuple(%next, %new)
}

%cond (c: (s32[], f32[8,256])) -> pred[] {
  %c = (s32[], f32[8,256]{1,0}) parameter(0)
  %j = s32[] get-tuple-element(%c), index=0
  %seven = s32[] constant(7)
  ROOT %lt = pred[]{:S(2)} compare(%j, %seven), direction=LT, metadata={op_name="a(b"}
}

ENTRY %main (a: f32[8,256]) -> f32[8,256] {
  %a = f32[8,256]{1,0} parameter(0), metadata={op_name="train.params['w']"}
  %two = s32[] constant(2)
  %start = s32[] copy(%two)
  %init = (s32[], f32[8,256]{1,0}) tuple(%start, /*index=1*/%a)
  %loop = (s32[], f32[8,256]{1,0}) while(%init), condition=%cond, body=%body
  ROOT %out = f32[8,256]{1,0} get-tuple-element(%loop), index=1
}
"""


@pytest.mark.parametrize(
    ("shape", "logical", "padded"),
    [
        (Shape("f32", (3, 5), "1,0"), 60, 60),
        (Shape("f32", (3, 5), "1,0:T(8,128)"), 60, 8 * 128 * 4),
        # Dimension 0 is minor here: five rows of three.
        (Shape("f32", (3, 5), "0,1:T(8,128)"), 60, 8 * 128 * 4),
        (Shape("bf16", (2, 9, 130), "2,1,0:T(8,128)(2,1)"), 4680, 2 * 16 * 256 * 2),
        (Shape("f32", (7, 7, 3, 64), "3,1,2,0:T(8,128)"), 37632, 7 * 3 * 8 * 128 * 4),
        (Shape("u32", (), ":T(128)"), 4, 512),
        (Shape("pred", (4,), ""), 4, 4),
        (Shape("s4", (4,), ""), 2, 2),
        (Shape("f8e4m3fn", (4,), ""), 4, 4),
    ],
)
def test_bytes_of_a_shape(shape, logical, padded):
    assert shape.bytes == logical
    assert shape.padded_bytes == padded


def test_memory_on_the_chip_is_told_apart():
    assert Shape("f32", (8,), "0:T(128)").main_bytes == 512
    assert Shape("f32", (8,), "0:T(128)S(0)").main_bytes == 512
    assert Shape("f32", (8,), "0:T(128)S(1)").main_bytes == 0


def test_a_program_is_read():
    main = read(LOOP)
    assert main.name == "main"
    loop = main.instructions["loop"]
    assert loop.opcode == "while"
    assert [one.name for one in loop.operands] == ["init"]
    assert [one.name for one in loop.called] == ["cond", "body"]
    assert [shape.extents for shape in loop.shapes] == [(), (8, 256)]
    assert [one.name for one in loop.operands[0].operands] == ["start", "a"]
    assert main.root.name == "out"
    assert main.root.operands == (loop,)
    assert main.instructions["a"].path == "train.params['w']"
    assert loop.turns == 5


def test_a_run_meets_every_instruction_where_it_stands():
    """A loop of 3 turns and a branch, and in both a fusion."""
    text = LOOP.replace("body=%body", f"body=%body{noted(3)}").replace(
        "  ROOT %out = f32[8,256]{1,0} get-tuple-element(%loop), index=1",
        "  %out = f32[8,256]{1,0} get-tuple-element(%loop), index=1\n"
        "  ROOT %row = f32[1,256]{1,0} conditional(%two, %out, %out), "
        "branch_computations={%first, %other}",
    )
    branch = """\
%NAME (r: f32[8,256]) -> f32[1,256] {
  %r = f32[8,256]{1,0} parameter(0)
  %k = s32[] constant(1)
  ROOT %f = f32[1,256]{1,0} fusion(%r, %k), kind=kLoop, calls=%cut
}

"""
    for name in ("first", "other"):
        text = text.replace("ENTRY", branch.replace("NAME", name) + "ENTRY")
    cuts = [place for one, place in read(text).steps() if one.name == "ds"]
    assert sorted(cuts) == [
        Place(turns=1, maybe=True, fused=True),
        Place(turns=1, maybe=True, fused=True),
        Place(turns=3, looped=True, fused=True),
    ]


def noted(turns):
    """What XLA writes of a loop where it knows its turns."""
    return f', backend_config={{"known_trip_count":{{"n":"{turns}"}},"x":1}}'


def test_turns_that_xla_notes_are_believed():
    main = read(LOOP.replace("body=%body", "body=%body" + noted(9)))
    assert main.instructions["loop"].turns == 9


def test_turns_that_nobody_knows_are_not_invented():
    main = read(LOOP.replace("compare(%j, %seven), direction=LT", "custom-call(%j)"))
    assert main.instructions["loop"].turns is None


def test_text_that_is_no_program_is_refused():
    with pytest.raises(ValueError, match="ENTRY"):
        read("HloModule nothing\n")


def test_a_cut_and_an_update_in_place_move_only_their_rows():
    row = 256 * 4
    test, counter = 4, 4  # Scalars that the condition and the sum read.
    cut, put = row + counter + row, row + counter + row
    assert memory_bytes(read(LOOP)) == 5 * (cut + put + test + counter) + 2 * 4 + 5 * 4


def test_the_largest_arrays_are_named():
    largest = largest_temporaries(read(LOOP), count=2)
    assert [one.shape for one in largest] == ["f32[8,256]", "f32[1,256]"]
    assert largest[0].bytes == 8 * 256 * 4
    assert largest[0].made_by == ""
    named = LOOP.replace("calls=%put", 'calls=%put, metadata={op_name="jit(f)/put"}')
    assert largest_temporaries(read(named), count=1)[0].made_by == "jit(f)/put"


def test_a_product_moves_its_operands_and_its_result():
    text = jax.jit(jnp.dot).lower(jnp.ones((64, 32)), jnp.ones((32, 16)))
    program = read(text.compile().as_text())
    assert memory_bytes(program) == 4 * (64 * 32 + 32 * 16 + 64 * 16)


def test_a_scan_moves_as_often_as_it_turns():
    def f(x, n):
        return jax.lax.scan(lambda x, _: (jnp.sin(x @ x), None), x, None, length=n)[0]

    x = jnp.ones((128, 128))
    moved = [
        memory_bytes(read(jax.jit(f, static_argnums=1).lower(x, n).compile().as_text()))
        for n in (10, 20, 30)
    ]
    assert moved[2] - moved[1] == moved[1] - moved[0]
    # Ten more turns: a product and a sine, each reads one array and writes one.
    assert moved[1] - moved[0] == pytest.approx(10 * 4 * 128 * 128 * 4, rel=0.02)


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required "
            "for HLO temporaries (56.13G) exceeds available HBM (15.75G).",
            56.13 * 2**30,
        ),
        ("Ran out of memory. Used 900.5M of 15.75G hbm.", 900.5 * 2**20),
        ("RESOURCE_EXHAUSTED: something else", None),
    ],
)
def test_what_a_refused_program_wanted(message, size):
    assert refused_temporaries(message) == size


# How more than 2,000 arguments come to a TPU: as one, without their paths.
TUPLED = """\
HloModule jit_call, is_scheduled=true

ENTRY %main (arg: (f32[4,2], f32[4,2], u8[16,3])) -> f32[4,2] {
  %arg = (f32[4,2]{1,0}, f32[4,2]{1,0}, u8[16,3]{1,0}) parameter(0)
  ROOT %x = f32[4,2]{1,0} get-tuple-element(%arg), index=0
}
"""


def test_arguments_of_one_tuple_are_told_apart():
    where = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    spec = functools.partial(jax.ShapeDtypeStruct, sharding=where)
    train = State(params=[spec((4, 2), "float32")], opt_state=[spec((4, 2), "float32")])
    arguments = train, (), {"image": spec((16, 3), "uint8")}
    stats = types.SimpleNamespace(
        output_size_in_bytes=32,
        alias_size_in_bytes=32,
        temp_size_in_bytes=7,
        generated_code_size_in_bytes=5,
    )
    compiled = types.SimpleNamespace(memory_analysis=lambda: stats)
    found = program_sizes(compiled, read(TUPLED), *arguments)
    assert {kind: size for kind, size in found.items() if size} == {
        "parameters": 32,
        "optimizer": 32,
        "batch": 48,
        "temporaries": 7,
        "code": 5,
    }
