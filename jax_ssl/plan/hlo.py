"""A reader of XLA's optimised HLO text: what runs, how often, on how many bytes."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

INSTRUCTION = re.compile(
    r"\s+(?P<root>ROOT )?%?(?P<name>\S+) = (?P<result>.*?) (?P<opcode>[a-z][\w\-]*)"
    r"\((?P<arguments>(?:[^()]|\([^()]*\))*)\)(?P<attributes>.*)"
)
# Instructions that run other computations, and the attributes that name those.
CALLS = ("while", "conditional", "call", "async-start")
CALLED = re.compile(
    r"\b(?:condition|body|branch_computations|true_computation|false_computation|"
    r"to_apply|calls|called_computation)=(\{[^}]*\}|%?[\w.\-]+)"
)
# Neither a kernel nor a call: they name arrays that others have made.
FREE = (
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "add-dependency",
    "opt-barrier",
    "partition-id",
    "replica-id",
)
# The same values, moved, in another shape or in another dtype.
SEEN_THROUGH = ("bitcast", "copy", "reshape", "transpose", "convert")
# By the comparison that keeps a loop turning: turns beyond |limit - first count|.
COMPARED = {"LT": 0, "GT": 0, "NE": 0, "LE": 1, "GE": 1}


@dataclass(frozen=True)
class Shape:
    """One array of a result.

    Attributes:
        dtype: in HLO's words.
        extents: logical.
        layout: between the braces: dimensions from minor to major, tiles, memory space.
    """

    dtype: str
    extents: tuple[int, ...]
    layout: str = ""

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.extents))}]"

    @property
    def bytes(self) -> float:
        """Of the array's elements."""
        return self._item * math.prod(self.extents)

    @property
    def padded_bytes(self) -> float:
        """Of the array in memory, its tiles filled up."""
        order, _, rest = self.layout.partition(":")
        tile = re.match(r"T\(([\d,]+)\)", rest)
        if not tile:
            return self.bytes
        sizes = [int(n) for n in tile[1].split(",")]
        minor = [int(n) for n in order.split(",") if n]
        extents = [self.extents[axis] for axis in reversed(minor)] or [1]
        extents = [1] * (len(sizes) - len(extents)) + extents
        for back, size in enumerate(reversed(sizes), 1):
            extents[-back] = -(-extents[-back] // size) * size
        return self._item * math.prod(extents)

    @property
    def main_bytes(self) -> float:
        """The padded bytes in main memory: 0 for buffers on the chip itself."""
        return 0.0 if re.search(r"S\([1-9]\d*\)", self.layout) else self.padded_bytes

    @property
    def _item(self) -> float:
        if bits := re.match(r"[a-z]+(\d+)", self.dtype):
            return int(bits[1]) / 8
        return 1.0 if self.dtype == "pred" else 0.0  # A token has no bytes.


@dataclass(frozen=True, eq=False, kw_only=True)
class Instruction:
    """One line of a computation.

    Attributes:
        inside: the computation.
        root: "ROOT " if its result is the computation's, else None.
        name: unique in its computation.
        result: types of the result.
        opcode: as "all-gather-start".
        arguments: names of the operands; a constant's value, a parameter's number.
        attributes: all that follows.
    """

    inside: "Computation" = field(repr=False)
    root: str | None
    name: str
    result: str
    opcode: str
    arguments: str
    attributes: str

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The arrays of its result, tuples laid flat."""
        found = re.findall(r"\b([a-z]\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?", self.result)
        return tuple(
            Shape(dtype, tuple(map(int, re.findall(r"\d+", extents))), layout)
            for dtype, extents, layout in found
        )

    @cached_property
    def operands(self) -> "tuple[Instruction, ...]":
        """Those whose results it reads, in order."""
        names = re.findall(r"%([\w.\-]+)", self.arguments)
        return tuple(self.inside.instructions[name] for name in names)

    @cached_property
    def called(self) -> "tuple[Computation, ...]":
        """The computations that it runs; of a while loop condition and body."""
        names = re.findall(r"[\w.\-]+", " ".join(CALLED.findall(self.attributes)))
        return tuple(self.inside.program[name] for name in names)

    @property
    def shape(self) -> Shape:
        """The array of its result; of several the first."""
        return self.shapes[0] if self.shapes else Shape("token", ())

    @property
    def made(self) -> tuple[Shape, ...]:
        """The arrays that it makes; a "-start" repeats what it reads in its result."""
        if not self.opcode.endswith("-start") or self.opcode == "all-reduce-start":
            return self.shapes
        at = 0 if self.opcode == "copy-start" else len(self.operands)
        return self.shapes[at : at + 1]

    @property
    def is_kernel(self) -> bool:
        """Whether it works itself; the work of a "-done" is that of its "-start"."""
        done = self.opcode.endswith(("-done", "-update"))
        return not done and self.opcode not in (*FREE, *CALLS)

    @property
    def origin(self) -> "Instruction":
        """The one that it has its values from, through copies, reshapes and casts."""
        one = self
        while one.opcode in SEEN_THROUGH:
            one = one.operands[0]
        return one

    @property
    def path(self) -> str:
        """Of an operation or an argument of the traced function; "" without one."""
        named = re.search(r'op_name="([^"]*)"', self.attributes)
        return named[1].replace("\\'", "'") if named else ""

    @property
    def number(self) -> int | None:
        """Value of a scalar integer constant."""
        whole = self.opcode == "constant" and re.fullmatch(r"-?\d+", self.arguments)
        return int(self.arguments) if whole else None

    @property
    def index(self) -> int:
        """Of a get-tuple-element, which element."""
        return int(re.findall(r"\bindex=(\d+)", self.attributes)[0])

    @property
    def turns(self) -> int | None:
        """How often it runs what it calls; None where the text does not tell.

        That is 1, but for a while loop. XLA notes its turns on some backends
        ("known_trip_count"); else they follow from its condition, in which a counter
        that starts from a constant, 0 if the text hides it, is compared with another.
        """
        if self.opcode != "while":
            return 1
        if noted := re.search(r"known_trip_count\W+n\W+(\d+)", self.attributes):
            return int(noted[1])
        condition, _ = self.called
        test = condition.root
        if test.opcode == "fusion":
            test = test.called[0].root
        direction = re.search(r"direction=(LT|GT|NE|LE|GE)", test.attributes)
        ones = condition.instructions.values()
        limits = [one.number for one in ones if one.number is not None]
        counters = [one.index for one in ones if one.opcode == "get-tuple-element"]
        if not direction or len(limits) != 1 or len(counters) != 1:
            return None
        start, first = self.operands[0].origin, 0
        if start.opcode == "tuple":
            first = start.operands[counters[0]].origin.number or 0
        return abs(limits[0] - first) + COMPARED[direction[1]]


class Place(NamedTuple):
    """Where in a run of a program an instruction stands.

    Attributes:
        turns: how often the run comes here; a loop of unknown length turns once.
        looped: whether it is in a loop.
        maybe: whether it is in a branch, which may never run.
        fused: whether it is a part of a kernel.
    """

    turns: int = 1
    looped: bool = False
    maybe: bool = False
    fused: bool = False


START = Place()


@dataclass(frozen=True, eq=False)
class Computation:
    """A named list of instructions.

    Attributes:
        name: unique in the program.
        program: all of its computations by name.
        instructions: by name, in the order in which they run.
    """

    name: str
    program: "Mapping[str, Computation]" = field(repr=False)
    instructions: dict[str, Instruction] = field(default_factory=dict)

    @cached_property
    def root(self) -> Instruction:
        """The one whose result is the computation's."""
        return next(one for one in self.instructions.values() if one.root)

    def parameter(self, index: int) -> Instruction:
        """The parameter of that number."""
        found = [p for p in self.instructions.values() if p.opcode == "parameter"]
        return next(one for one in found if int(one.arguments) == index)

    def steps(self, place: Place = START) -> Iterator[tuple[Instruction, Place]]:
        """Every instruction that a run meets, and then those that they call."""
        for one in self.instructions.values():
            yield one, place
        for one in self.instructions.values():
            if one.opcode in (*CALLS, "fusion"):
                inner = Place(
                    turns=place.turns * (one.turns or 1),
                    looped=place.looped or one.opcode == "while",
                    maybe=place.maybe or one.opcode == "conditional",
                    fused=place.fused or one.opcode == "fusion",
                )
                for computation in one.called:
                    yield from computation.steps(inner)


def read(text: str) -> Computation:
    """The entry computation of a program, from what `compiled.as_text()` returns."""
    program: dict[str, Computation] = {}
    entry = current = None
    for line in text.splitlines():
        if head := re.match(r"(ENTRY )?%?([\w.\-]+) .*->.*\{\s*$", line):
            current = program[head[2]] = Computation(head[2], program)
            entry = current if head[1] else entry
        elif current and (found := INSTRUCTION.match(line)):
            one = Instruction(**found.groupdict(), inside=current)
            current.instructions[one.name] = one
    if entry is None:
        raise ValueError("this is no HLO text: it has no ENTRY computation.")
    return entry
