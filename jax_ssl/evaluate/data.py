"""The parts of a data set that evaluations are given."""

from dataclasses import dataclass

import numpy as np

from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.train.feeds import Feed


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
