"""Arithmetic of a train step, and what share of the chips' published peak it reaches.

Counts are of the whole step on all devices together, in FLOPs: a multiply and an add
are two.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.interpreters import partial_eval

from jax_ssl.parallel.chips import CHIPS


def peak_flops(device: jax.Device) -> float | None:
    """Published bfloat16 peak of `device` in FLOP/s; None where it is not known."""
    kind = device.device_kind
    return next((chip.flops for chip in CHIPS if re.search(chip.kind, kind)), None)


def live_flops(closed: Any) -> float:
    """FLOPs of what a traced function's results depend on.

    A custom gradient that calls `jax.vjp` traces the forward operation once more; XLA
    drops what nobody reads, and so does this.

    Args:
        closed: `jax.jit(f).trace(...).jaxpr`.
    """
    jaxpr = closed.jaxpr
    live, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return jaxpr_flops(live)


def jaxpr_flops(jaxpr: Any) -> float:
    """FLOPs of the matrix products and convolutions of a traced function.

    What utilisation is conventionally measured by: it is the same on every backend, a
    `scan` counts every turn, and a `shard_map` every shard. Of a `while` one turn is
    counted and of a `cond` its largest branch. Recomputation by `jax.checkpoint` is
    included. Taps of a convolution that fall on padding count; those on the zeros of a
    dilated input do not.

    Args:
        jaxpr: `jax.make_jaxpr(f)(...)` or `jax.jit(f).trace(...).jaxpr`.
    """
    total = 0.0
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name = eqn.primitive.name
        if name == "dot_general":
            total += _dot(eqn)
        elif name == "conv_general_dilated":
            total += _conv(eqn)
        elif name == "cond":
            total += max(map(jaxpr_flops, eqn.params["branches"]))
        else:
            inner = sum(map(jaxpr_flops, _inner(eqn)))
            total += inner * _turns(eqn) if inner else 0.0
    return total


def mfu(
    flops: float | None, seconds: float, devices: Sequence[jax.Device]
) -> float | None:
    """Share of the devices' peak that `flops` in `seconds` amounts to, in [0, 1].

    Args:
        flops: of one step, over all devices.
        seconds: that a step takes.
        devices: all devices of the mesh.

    Returns:
        None where flops or the peak of a device is not known, or `seconds` is 0.
    """
    peaks = [peak for device in devices if (peak := peak_flops(device))]
    if flops is None or not peaks or len(peaks) < len(devices) or seconds <= 0:
        return None
    return flops / (seconds * sum(peaks))


def _dot(eqn: Any) -> float:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    lhs = eqn.invars[0].aval.shape
    return 2.0 * eqn.outvars[0].aval.size * math.prod(lhs[i] for i in contracted)


def _conv(eqn: Any) -> float:
    kernel = eqn.invars[1].aval.shape
    _, *taps = eqn.params["dimension_numbers"].rhs_spec  # First, output features.
    products = eqn.outvars[0].aval.size * math.prod(kernel[i] for i in taps)
    return 2.0 * products / math.prod(eqn.params["lhs_dilation"])


def _inner(eqn: Any) -> Iterator[Any]:
    for value in eqn.params.values():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if hasattr(item, "eqns") or hasattr(item, "jaxpr"):
                yield item


def _turns(eqn: Any) -> int:
    if eqn.primitive.name == "scan":
        return eqn.params["length"]
    if eqn.primitive.name == "shard_map":
        sizes = dict(eqn.params["mesh"].shape)
        axes = eqn.params.get("newly_manual_axes", sizes)
        return math.prod(sizes[axis] for axis in axes)
    return 1
