"""An encoder as an ONNX file, by jax2onnx, which is an extra.

jax2onnx takes the place of some of flax's functions while it traces. Its forms of the
pools know neither positions of their arguments nor zeros on the sides, both of which
`_pools` gives back.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.interop.out_state import Head, Prepared, Taken

NAMES = "vectors", "grids"
LACKING = (
    "--to=onnx needs jax2onnx: pip install 'jax_ssl[onnx]', or choose another --to."
)


def onnx_model(taken: Taken, seen: Prepared) -> bytes:
    """The encoder as an ONNX model of any number of images.

    Its input "images" is [B, H, W, C] float32 in [0, 1], resized and cut as the card
    says; the mean and the deviation are in the model. Its outputs are "vectors" [B, D]
    and "grids" [B, h, w, D'], or "probabilities" [B, K] of a classifier.

    Args:
        taken: the encoder.
        seen: how its images are prepared.

    Raises:
        ValueError: if jax2onnx is not installed, or does not know a part of it.
    """
    names = ("probabilities",) if taken.head is not None else NAMES

    def outputs(images: Array) -> Sequence[Array]:
        x = (images - jnp.asarray(seen.mean)) / jnp.asarray(seen.std)
        encoder: Any = taken.encoder
        with _pools():
            features = encoder.apply(taken.variables, x, train=False)
        if taken.head is not None:
            return (_said(taken.head, features.pooled),)
        return features.pooled, features.grid.astype(jnp.float32)

    shape = ("B", seen.size, seen.size, taken.channels)
    with _quietly():
        to_onnx = _installed()
        try:
            model = to_onnx(
                outputs,
                [shape],
                model_name="jax_ssl",
                input_names=["images"],
                output_names=list(names),
            )
        except Exception as error:  # Of many types, where it does not know a part.
            why = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"--to=onnx: jax2onnx does not take a {type(taken.encoder).__name__} "
                f"({type(error).__name__}: {why}); --to=npz and --to=safetensors hold "
                "it."
            ) from error
    return model.SerializeToString()


def _said(head: Head, pooled: Array) -> Array:
    return nn.softmax(pooled @ head.weight.T + head.bias, axis=-1)


def _installed() -> Callable[..., Any]:
    try:
        from jax2onnx import to_onnx
    except ModuleNotFoundError as error:
        raise ValueError(LACKING) from error
    return to_onnx


@contextlib.contextmanager
def _pools() -> Iterator[None]:
    """Makes the pools, in jax2onnx's form, take what flax's take."""
    kept = {name: getattr(nn, name) for name in ("max_pool", "avg_pool")}

    def taking(pool: Callable[..., Array], edge: float) -> Callable[..., Array]:
        def called(
            x: Array,
            window_shape: Sequence[int],
            strides: Sequence[int] | None = None,
            padding: Any = "VALID",
        ) -> Array:
            if not isinstance(padding, str):
                around = ((0, 0), *padding, (0, 0))
                x = jnp.pad(x, around, constant_values=edge)
                padding = "VALID"
            return pool(x, window_shape=window_shape, strides=strides, padding=padding)

        return called

    nn.max_pool = taking(kept["max_pool"], float(jnp.finfo(jnp.float32).min))
    nn.avg_pool = taking(kept["avg_pool"], 0.0)
    try:
        yield
    finally:
        for name, pool in kept.items():
            setattr(nn, name, pool)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the log of jax2onnx, which tells of every plug-in that it lacks."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # It prints too.
        with contextlib.redirect_stdout(None):
            yield
    finally:
        logging.disable(before)
