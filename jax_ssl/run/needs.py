"""What evaluations need of the data and of their view, checked before training."""

import jax
import numpy as np

from jax_ssl.core.fields import Fields, spec_of
from jax_ssl.core.method import ViewFn
from jax_ssl.evaluate.judge import Data
from jax_ssl.evaluate.protocol import Protocol

STANDARD = ("label", "mask")  # Where they lack, a protocol is skipped and says so.


def check_needs(protocol: Protocol, part: str, data: Data, known: Fields) -> None:
    """Refuses a field that a protocol was told of and that it cannot use.

    Raises:
        ValueError: naming the field, and those of the kind that it needs.
    """
    fields = data.feed.fields
    all_fields = {**known, **fields}
    fit = sorted(n for n, field in all_fields.items() if field.kind == protocol.kind)
    for name in protocol.needs:
        if name in fields and name not in fit:
            why = f"is of kind {fields[name].kind!r}"
        elif name in fields or name in STANDARD:
            continue
        else:
            why = "is not there"
        raise ValueError(
            f"config.evals.{protocol.name}: field {name!r} {why} in the {part} part "
            f"({data.feed.name}); it needs one of kind {protocol.kind!r}: "
            f"{', '.join(fit) or 'there is none'}."
        )


def draws(view: ViewFn, data: Data) -> bool:
    """Whether a view of these examples draws at random."""
    example = jax.tree.map(
        lambda s: np.zeros(s.shape, s.dtype), spec_of(data.feed.fields)
    )
    return "random_bits" in str(jax.make_jaxpr(view)(jax.random.key(0), example))
