"""The order of things in an evaluation, for every protocol and any kind of example.

The trained encoder comes first, then its controls: the same encoder untrained, and the
input itself without any. The data are swept once for each, and the features of one are
forgotten before the next is swept.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jax_ssl.checkpoint.run_folder import json_value
from jax_ssl.core.fields import spec_of
from jax_ssl.core.method import Method, ViewFn, seen_by
from jax_ssl.core.types import Array, Batch, Params, PyTree, State
from jax_ssl.evaluate import mfcc
from jax_ssl.evaluate.data import Data, lacking
from jax_ssl.evaluate.kinds import (
    MFCC,
    PIXELS,
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
from jax_ssl.evaluate.measured import fields_of, unpredicted
from jax_ssl.evaluate.part import Part, left_out, on_host, swept
from jax_ssl.evaluate.passes import Passes, check_shown
from jax_ssl.evaluate.protocol import Outcome, Protocol, Skipped
from jax_ssl.evaluate.raw import pooling_side
from jax_ssl.evaluate.reading import features_of
from jax_ssl.evaluate.single import label_of, labels_before, one_answer, single
from jax_ssl.parallel.rows import map_examples
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


@dataclass
class Judge:
    """Evaluates the encoder of one method; use it with the mesh installed.

    Attributes:
        method: of which `encoder`, `exports`, `health` and `predicts` are used.
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
    _sweeps: dict[Any, Any] = field(default_factory=dict, init=False)

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
            kinds: of features: "trained", "untrained", the raw input's name, and
                baselines of the protocols; all unless given.
            step: of training, for the record.
            tell: opens what tells of everything that takes time.

        Returns:
            {"evaluations": [...], "skipped": [{"protocol", "reason"}]}, plain JSON.
        """
        lacks = [
            (p, self.lacking(p, train, test) or self.single(p, train, test))
            for p in protocols
        ]
        skipped = [{"protocol": p.name, "reason": why} for p, why in lacks if why]
        asked = [p for p, why in lacks if not why]
        known = test.feed.fields

        def answers(
            kind: str, mine: Sequence[Protocol]
        ) -> Iterator[tuple[Protocol, Outcome | Skipped, Mapping[str, Any]]]:
            """What protocols say of one kind of features, which it alone holds."""
            whole: PyTree = trained if kind == TRAINED else ()
            whole = self.fresh() if kind == UNTRAINED else whole
            rate = self.rate(train)
            if mine[0].passes:
                (alone,) = mine
                both = [self.passes(alone, kind, whole, data) for data in (train, test)]
                with tell(f"{kind}: {alone.name}".replace("_", " "), 0):
                    found = list(alone.run(*both))
                yield from ((alone, outcome, {}) for outcome in found)
                return
            learning = [p for p in mine if p.learns]
            fields = [n for p in mine if p.measured is None for n in p.fields]
            swept_for = [(train, learning)] * bool(learning) + [(test, mine)]
            total = sum(data.count for data, _ in swept_for)
            with tell(f"{kind}: features of {total:,} examples", total) as advance:
                parts = [
                    self.parts(
                        list(dict.fromkeys(read_of(p, kind, rate) for p in those)),
                        whole,
                        data,
                        tuple(dict.fromkeys(fields)),
                        advance,
                    )
                    for data, those in swept_for
                ]
            del whole
            for protocol in mine:
                read = read_of(protocol, kind, rate)
                labels = [n for n in protocol.needs if known[n].kind == "label"]
                given = [part[read] for part in parts if read in part]
                if not protocol.learns:
                    given, labels = given[-1:] * 2, []
                own = [part.labelled(labels) for part in given]
                name = label_of(protocol)
                marks = [part.fields[name][part.counts] for part in own if name]
                # A method's own classifier learns nothing from the training part.
                learned = protocol.reads != "head" or protocol.controls
                without = left_out(given, own, labels if learned else ())
                outcomes: Iterable[Outcome | Skipped] = [NOT_FINITE]
                if not all(part.counts.any() for part in own):
                    outcomes = [NO_LABELS]
                elif marks and (why := single(protocol, marks[0], marks[1], known)):
                    outcomes = [Skipped(why)]
                elif all(part.finite for part in own):
                    said = [f"{kind}: {protocol.name}"]
                    said += [f"{n} {words}" for words, n in without.items()]
                    with tell(", ".join(said).replace("_", " "), 0):
                        outcomes = list(protocol.run(*own))
                note = one_answer(protocol, marks[1], known) if marks else ""
                for outcome in outcomes:
                    if note and isinstance(outcome, Outcome):
                        notes = filter(None, (outcome.detail.get("note"), note))
                        detail = {**outcome.detail, "note": " ".join(notes)}
                        outcome = dataclasses.replace(outcome, detail=detail)
                    yield protocol, outcome, {**own[0].detail, **without}

        if kinds is None:
            kinds = self.kinds(train, asked)
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
                        **({"tracks": outcome.tracks} if outcome.tracks else {}),
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

    def kinds(self, data: Data, protocols: Sequence[Protocol] = ()) -> tuple[str, ...]:
        """The kinds of features, of which the third is the input itself.

        Of waves whose rate is known there is a fourth, "mfcc", where librosa is. The
        baselines of protocols that measure predictions follow.
        """
        image = len(self.seen(data).shape) > 2
        known = TRAINED, UNTRAINED, PIXELS if image else SAMPLES
        more = self.rate(data) is not None and mfcc.installed()
        own = [p.measured.baselines for p in protocols if p.measured is not None]
        found = (*known, *[MFCC] * more, *itertools.chain(*own))
        return tuple(dict.fromkeys(found))

    def lacking(self, protocol: Protocol, train: Data, test: Data) -> str:
        """Why a protocol cannot judge this method on these data; "" if it can."""
        if protocol.learns:
            part = lacking(protocol, train, "training")
            return part or lacking(protocol, test, "test")
        why = lacking(protocol, test, test.split)
        return why or unpredicted(protocol, self.method)

    def single(self, protocol: Protocol, train: Data, test: Data | None = None) -> str:
        """Why labels say nothing to a protocol, as far as is known before it reads."""
        name = label_of(protocol)
        if not name:
            return ""

        def labels(data: Data | None) -> np.ndarray | None:
            if data is None or name not in data.feed.fields:
                return None
            rows = None if data.rows is None else data.rows.tobytes()
            key = ("labels", id(data.feed), rows, name)
            if key not in self._sweeps:
                self._sweeps[key] = labels_before(data, name)
            found: np.ndarray | None = self._sweeps[key]
            return found

        return single(protocol, labels(train), labels(test), train.feed.fields)

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
                beside = fields_of(fields, (*fields, "index"), seen, batch)
                read = partial(features_of, self.method)
                features = [read(each, whole, seen, batch) for each in reads]
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
            has_features = not isinstance(read[0], Protocol)
            detail: Record = {"dimensions": values.shape[-1]} if has_features else {}
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
        for protocol in filter(lambda p: p.passes, protocols):
            check_shown(protocol.name, protocol.needs, self.view, data)
        batch = spec_of(data.feed.fields, self.mesh.size)
        for read in dict.fromkeys((POOLED, *(read_of(p, TRAINED) for p in protocols))):

            def one(whole: PyTree, batch: Batch, read: Read = read) -> Array:
                made = map_examples(self.view, jax.random.key(0), batch)
                return features_of(self.method, read, whole, made, batch)

            found = jax.eval_shape(one, whole, batch)
            if read[1] == "pooled" and found.ndim != 2:
                raise ValueError(
                    f"of every example the encoder would read {seen.shape} and make "
                    f"features of shape {found.shape[1:]}, where protocols judge one "
                    "vector; choose a view that makes one input, such as center_crop."
                )

    def passes(
        self, protocol: Protocol, kind: str, whole: PyTree, data: Data
    ) -> Passes:
        """Some examples and a kind of features for a protocol that asks for passes."""
        read = read_of(protocol, kind)
        return Passes(
            data=data,
            view=self.view,
            read=lambda whole, x: features_of(self.method, read, whole, x, {}),
            whole=whole,
            mesh=self.mesh,
            at_once=max(1, self.at_once // self.mesh.size),
            made=self._sweeps,
            kind=read,
        )

    def seen(self, data: Data) -> Any:
        """What the view makes of an example, for the encoder to read."""
        return seen_by(self.view, data.feed.fields)
