"""The kinds of features that are judged: trained, untrained, and the input itself."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from jax_ssl.evaluate import mfcc
from jax_ssl.evaluate.protocol import Outcome, Protocol, Reader

# A protocol's reader and `reads`; or one that measures predictions, and whose they are.
Read: TypeAlias = tuple[Reader | Protocol | None, str]

TRAINED, UNTRAINED = "trained", "untrained"
PIXELS, SAMPLES, MFCC = "pixels", "samples", "mfcc"
RAW: Read = (None, "raw")
POOLED: Read = (None, "pooled")


def read_of(protocol: Protocol, kind: str, rate: float | None = None) -> Read:
    """What is read of every example for a protocol and a kind of features.

    Args:
        protocol: which takes that kind.
        kind: of features.
        rate: of waves, samples a second; only MFCCs ask for it.
    """
    network = kind in (TRAINED, UNTRAINED)
    if protocol.measured is not None:
        return protocol, "network" if network else kind
    if network:
        return protocol.reader, protocol.reads
    if kind == PIXELS and protocol.raw is not None:
        return protocol.raw, "raw"
    if kind == MFCC:
        assert rate is not None
        return _cepstral(rate, protocol.places), "raw"
    return RAW


@functools.cache
def _cepstral(rate: float, places: int) -> Reader:
    """MFCCs as a reader without variables, one for the same arguments."""
    read = mfcc.mfcc_reader(rate, places)
    return lambda variables, x: read(x)


def titled(outcome: Outcome, protocol: Protocol) -> Outcome:
    """The outcome, which names the field that is predicted if that is not "label"."""
    name = protocol.needs[0] if protocol.needs else "label"
    if protocol.kind != "label" or name == "label":
        return outcome
    return dataclasses.replace(
        outcome,
        title=f"{name}: {outcome.title}",
        settings={**outcome.settings, "label": name},
    )


def together(protocols: Sequence[Protocol], kind: str) -> Iterator[Sequence[Protocol]]:
    """Protocols that take a kind of features, by the sweeps that they share."""
    mine = [p for p in protocols if takes(p, kind)]
    if shared := [p for p in mine if not (p.alone or p.passes)]:
        yield shared
    yield from ([p] for p in mine if p.alone or p.passes)


def takes(protocol: Protocol, kind: str) -> bool:
    """Whether a protocol judges a kind of features."""
    if kind == TRAINED or not protocol.controls:
        return kind == TRAINED
    if protocol.measured is not None:
        return kind in (UNTRAINED, *protocol.measured.baselines)
    if kind == UNTRAINED or (kind == MFCC and protocol.places):
        return True
    if kind == PIXELS and protocol.raw is not None:
        return True
    vector = protocol.reads in ("pooled", "head")
    return kind in (PIXELS, SAMPLES, MFCC) and vector
