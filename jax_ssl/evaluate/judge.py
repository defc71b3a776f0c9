"""The order of things in an evaluation, for every protocol and any kind of example.

The trained encoder comes first, then its controls: the same encoder untrained, and the
input itself without any. The data are swept once for each, and the features of one are
forgotten before the next is swept.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jax_ssl.checkpoint.run_folder import json_value
from jax_ssl.core.method import Method, ViewFn, encoder_input, seen_by
from jax_ssl.core.types import Array, Batch, Params, PyTree, State
from jax_ssl.evaluate import mfcc
from jax_ssl.evaluate.kinds import (
    MFCC,
    POOLED,
    RAW,
    SAMPLES,
    TRAINED,
    UNTRAINED,
    Read,
    read_of,
    takes,
    titled,
    together,
)
from jax_ssl.evaluate.part import Part, left_out, on_host, swept
from jax_ssl.evaluate.protocol import Outcome, Protocol, Skipped
from jax_ssl.evaluate.raw import flattened, pooling_side
from jax_ssl.parallel.rows import map_examples
from jax_ssl.train.feeds import Feed
from jax_ssl.train.sweep import Sweep

Record: TypeAlias = dict[str, Any]
# (what is done, its parts) -> a block, which gets what is told of the parts.
Tell: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

NOT_FINITE = Skipped("there are numbers that are not finite")
NO_LABELS = Skipped("no example of one of the parts has a label")


def untold(text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Tells nothing."""
    del text, total
    return nullcontext(lambda rows: None)


@dataclass(frozen=True, kw_only=True)
class Data:
    """Some examples of a data set.

    Attributes:
        feed: of the data set.
        rows: [n] of them; all unless given.
        split: what they are called in the record.
    """

    feed: Feed
    rows: np.ndarray | None = None
    split: str = "test"

    @property
    def count(self) -> int:
        """Number of examples."""
        return self.feed.num_examples if self.rows is None else len(self.rows)


@dataclass
class Judge:
    """Evaluates the encoder of one method; use it with the mesh installed.

    Attributes:
        method: of which `encoder`, `exports` and `health` are used.
        view: the evaluation's: one example -> what the encoder reads, un-augmented; or
            a dictionary of it and of fields that follow it, such as a mask.
        fresh: makes untrained params and state.
        mesh: the devices.
        at_once: examples that all devices together take at a time.
        most_bytes: of features that a device may hold.
    """

    method: Method
    view: ViewFn
    fresh: Callable[[], tuple[Params, State]]
    mesh: Mesh
    at_once: int = 512
    most_bytes: float = 2**31
    _sweeps: dict[Any, Sweep] = field(default_factory=dict, init=False)

    def judge(
        self,
        protocols: Sequence[Protocol],
        trained: tuple[Params, State],
        train: Data,
        test: Data,
        *,
        kinds: Sequence[str] | None = None,
        step: int = 0,
        tell: Tell = untold,
    ) -> Record:
        """Runs protocols on every kind of features.

        Args:
            protocols: bound ones.
            trained: params and state of the method.
            train: training part.
            test: test part.
            kinds: of features: "trained", "untrained" and the raw input's name; all
                unless given.
            step: of training, for the record.
            tell: opens what tells of everything that takes time.

        Returns:
            {"evaluations": [...], "skipped": [{"protocol", "reason"}]}, plain JSON.
        """
        lacks = [
            (p, lacking(p, train, "training") or lacking(p, test, "test"))
            for p in protocols
        ]
        skipped = [{"protocol": p.name, "reason": why} for p, why in lacks if why]
        asked = [p for p, why in lacks if not why]
        fields = tuple(dict.fromkeys(name for p in asked for name in p.needs))
        known = train.feed.fields

        def answers(
            kind: str, mine: Sequence[Protocol]
        ) -> Iterator[tuple[Protocol, Outcome | Skipped, Mapping[str, Any]]]:
            """What protocols say of one kind of features, which it alone holds."""
            whole: PyTree = trained if kind == TRAINED else ()
            whole = self.fresh() if kind == UNTRAINED else whole
            rate = self.rate(train)
            reads = list(dict.fromkeys(read_of(p, kind, rate) for p in mine))
            total = train.count + test.count
            with tell(f"{kind}: features of {total:,} examples", total) as advance:
                parts = [
                    self.parts(reads, whole, data, fields, advance)
                    for data in (train, test)
                ]
            del whole
            for protocol in mine:
                labels = [n for n in protocol.needs if known[n].kind == "label"]
                given = [part[read_of(protocol, kind, rate)] for part in parts]
                own = [part.labelled(labels) for part in given]
                # A method's own classifier learns nothing from the training part.
                learned = protocol.reads != "head" or protocol.controls
                without = left_out(given, own, labels if learned else ())
                outcomes: Iterable[Outcome | Skipped] = [NOT_FINITE]
                if not all(part.counts.any() for part in own):
                    outcomes = [NO_LABELS]
                elif all(part.finite for part in own):
                    said = [f"{kind}: {protocol.name}"]
                    said += [f"{n} {words}" for words, n in without.items()]
                    with tell(", ".join(said).replace("_", " "), 0):
                        outcomes = list(protocol.run(*own))
                for outcome in outcomes:
                    yield protocol, outcome, {**own[0].detail, **without}

        if kinds is None:
            kinds = self.kinds(train)
            if self.rate(train) is not None and not mfcc.installed():
                skipped.append({"protocol": MFCC, "reason": mfcc.LACKING})
        found: dict[tuple[Protocol, str], Record] = {}
        refused: dict[tuple[Protocol, str], list[str]] = {}
        for kind, mine in ((k, m) for k in kinds for m in together(asked, k)):
            for protocol, outcome, detail in answers(kind, mine):
                if isinstance(outcome, Skipped):
                    refused.setdefault((protocol, outcome.reason), []).append(kind)
                    continue
                outcome = titled(outcome, protocol)
                setting = json.dumps(json_value(outcome.settings))
                # The outcomes of all kinds are the rows of one evaluation.
                new: Record = {
                    "protocol": protocol.name,
                    "title": outcome.title,
                    "settings": outcome.settings,
                    "metrics": [dataclasses.asdict(each) for each in protocol.metrics],
                    "remark": outcome.remark,
                    **({"along": outcome.along} if outcome.along else {}),
                    "rows": [],
                    "split": test.split,
                    "step": step,
                }
                found.setdefault((protocol, setting), new)["rows"].append(
                    {
                        "features": kind,
                        **outcome.values,
                        "std": outcome.spread,
                        "detail": {**detail, **outcome.detail},
                    }
                )
        for (protocol, reason), those in refused.items():
            taken = [kind for kind in kinds if takes(protocol, kind)]
            where = "" if those == taken else f"{' and '.join(those)} features: "
            skipped.append({"protocol": protocol.name, "reason": where + reason})
        order = [protocol.name for protocol in asked]
        evaluations = sorted(found.values(), key=lambda e: order.index(e["protocol"]))
        return json_value({"evaluations": evaluations, "skipped": skipped})

    def kinds(self, data: Data) -> tuple[str, ...]:
        """The kinds of features, of which the third is the input itself.

        Of waves whose rate is known there is a fourth, "mfcc", where librosa is.
        """
        image = len(self.seen(data).shape) > 2
        known = TRAINED, UNTRAINED, "pixels" if image else SAMPLES
        more = self.rate(data) is not None and mfcc.installed()
        return (*known, MFCC) if more else known

    def rate(self, data: Data) -> float | None:
        """Samples a second of what the encoder reads, if that is a wave of one."""
        waves = [f for f in data.feed.fields.values() if f.kind == "wave"]
        if len(self.seen(data).shape) != 1 or len(waves) != 1:
            return None
        return waves[0].rate

    def parts(
        self,
        reads: Sequence[Read],
        whole: PyTree,
        data: Data,
        fields: tuple[str, ...] = (),
        advance: Callable[[int], None] = lambda rows: None,
    ) -> dict[Read, Part]:
        """Features of some examples, from one sweep.

        Args:
            reads: what to keep of every example: a protocol's reader and its `reads`,
                or `RAW`.
            whole: params and state, or () for the input itself.
            data: the examples.
            fields: of the examples that are kept too.
            advance: told the rows of every batch.

        Raises:
            ValueError: if not one of the examples can be read.
        """
        known = None if data.rows is None else data.rows.tobytes()
        key = (id(data.feed), known, fields, tuple(reads))
        if key not in self._sweeps:

            def one(whole: PyTree, batch: Batch) -> PyTree:
                seen = map_examples(self.view, jax.random.key(0), batch)
                given = seen if isinstance(seen, Mapping) else {}
                x = encoder_input(seen)
                beside = {n: given.get(n, batch[n]) for n in (*fields, "index")}
                features = [self._features(read, whole, x) for read in reads]
                return [values.astype(jnp.float32) for values in features], beside

            at_once = max(1, self.at_once // self.mesh.size)
            self._sweeps[key] = Sweep(
                one, whole, data.feed, self.mesh, rows=data.rows, at_once=at_once
            )
        sweep = self._sweeps[key]
        features, beside = swept(
            sweep, whole, most_bytes=self.most_bytes, advance=advance
        )
        small = {name: on_host(values) for name, values in beside.items()}
        # A corrupt example gave way to another one, which has its own place.
        rows = np.where(small.pop("index") == sweep.rows, sweep.rows, -1)
        corrupt = int((sweep.rows >= 0).sum() - (rows >= 0).sum())
        if corrupt == data.count:
            raise ValueError(
                f"not one of {corrupt} rows of {data.feed.name} can be read."
            )
        parts = {}
        for read, values in zip(reads, features, strict=True):
            detail: Record = {"dimensions": values.shape[-1]}
            if corrupt:
                detail["corrupt_examples"] = corrupt
            if read == RAW and (side := pooling_side(self.seen(data).shape)) > 1:
                detail["pooled_by"] = side
            parts[read] = Part(values, small, rows, detail)
        return parts

    def rehearse(
        self, protocols: Sequence[Protocol], whole: PyTree, data: Data
    ) -> None:
        """Traces what a sweep would compute, so that what cannot work is known early.

        Args:
            protocols: whose features are traced.
            whole: shapes of params and state.
            data: of whose fields the view is made.

        Raises:
            ValueError: if the view cannot be made, or the encoder cannot read it.
        """
        seen = self.seen(data)
        if not jnp.issubdtype(seen.dtype, jnp.floating):
            raise ValueError(f"the encoder would read {seen.dtype}, not floats.")
        rows = jax.ShapeDtypeStruct((self.mesh.size, *seen.shape), seen.dtype)
        for read in dict.fromkeys((POOLED, *(read_of(p, TRAINED) for p in protocols))):
            found = jax.eval_shape(
                lambda whole, x, r=read: self._features(r, whole, x), whole, rows
            )
            if read[1] == "pooled" and found.ndim != 2:
                raise ValueError(
                    f"of every example the encoder would read {seen.shape} and make "
                    f"features of shape {found.shape[1:]}, where protocols judge one "
                    "vector; choose a view that makes one input, such as center_crop."
                )

    def seen(self, data: Data) -> Any:
        """What the view makes of an example, for the encoder to read."""
        return seen_by(self.view, data.feed.fields)

    def _features(self, read: Read, whole: PyTree, x: Array) -> Array:
        """What is read [B, ...] of examples x [B, ...]."""
        reader, word = read
        if word == "raw":
            return flattened(x) if reader is None else reader({}, x)
        params, state = whole
        if word == "head":
            if (project := self.method.health.project) is None:
                raise ValueError(
                    "reads = 'head' asks for what the method's head says, and this "
                    "method has none; leave it out to read pooled features."
                )
            return project(params, state, x)
        variables = self.method.exports["encoder"](params, state)
        if reader is not None:
            return reader(variables, x)
        return getattr(self.method.encoder.apply(variables, x, train=False), word)


def lacking(protocol: Protocol, data: Data, part: str) -> str:
    """What examples have not that a protocol needs, in words; "" if nothing.

    Args:
        protocol: which needs some fields.
        data: the examples.
        part: which part of the data they are, in words.
    """
    lacks = [name for name in protocol.needs if name not in data.feed.fields]
    words = " and no ".join("labels" if name == "label" else name for name in lacks)
    return f"the {part} part, {data.feed.name}, has no {words}" if lacks else ""
