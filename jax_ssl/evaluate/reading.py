"""What is read of a batch: features of a network, the input itself, or predictions."""

from typing import Any

from jax_ssl.core.method import Method, encoder_input
from jax_ssl.core.types import Batch, PyTree, Views
from jax_ssl.evaluate.kinds import Read
from jax_ssl.evaluate.measured import measured_by
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.evaluate.raw import flattened


def features_of(
    method: Method, read: Read, whole: PyTree, seen: Views, batch: Batch
) -> Any:
    """What is read [B, ...] of a batch.

    Args:
        method: of which `encoder`, `exports`, `health` and `predicts` are used.
        read: what is read, see `kinds.read_of`.
        whole: params and state; not looked at for the input itself.
        seen: what the evaluation's view makes of the batch.
        batch: the examples; only predictions are compared with them.

    Raises:
        ValueError: if the head is asked, and there is none.
    """
    reader, word = read
    if isinstance(reader, Protocol):
        return measured_by(read, method, whole, seen, batch)
    x = encoder_input(seen)
    if word == "raw":
        return flattened(x) if reader is None else reader({}, x)
    params, state = whole
    if word == "head":
        if (project := method.health.project) is None:
            raise ValueError(
                "reads = 'head' asks for what the method's head says, and this method "
                "has none; leave it out to read pooled features."
            )
        return project(params, state, x)
    variables = method.exports["encoder"](params, state)
    if reader is not None:
        return reader(variables, x)
    return getattr(method.encoder.apply(variables, x, train=False), word)
