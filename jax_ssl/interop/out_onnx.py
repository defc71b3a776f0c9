"""An encoder as an ONNX file, by jax2onnx, which is an extra.

jax2onnx takes the place of some of flax's functions while it traces. Its forms of the
pools know neither positions of their arguments nor zeros on the sides, both of which
`_pools` gives back.
"""

import contextlib
import functools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jax_ssl.core.types import Array, Variables
from jax_ssl.encoders.class_tokens import ClassTokens
from jax_ssl.interop.out_state import Head, Prepared, Taken
from jax_ssl.nn.group_norm import (
    StandardizedConv,
    StandardizedDense,
    standardize_kernel,
)

NAMES = "vectors", "grids"
TOLERANCE = 1e-3  # Of the deviation; what is written wrongly differs by 1e-2.
LACKING = (
    "--to=onnx needs jax2onnx: pip install 'jax_ssl[onnx]', or choose another --to."
)


def onnx_model(taken: Taken, seen: Prepared) -> bytes:
    """The encoder as an ONNX model of any number of images.

    Its input "images" is [B, H, W, C] float32 in [0, 1], resized and cut as the card
    says; the mean and the deviation are in the model. Its outputs are "vectors" [B, D]
    and "grids" [B, h, w, D'], or "probabilities" [B, K] of a classifier,
    whose names of classes are a JSON list in the metadata, "classes".

    Args:
        taken: the encoder.
        seen: how its images are prepared.

    Raises:
        ValueError: if jax2onnx is not installed, or does not know a part of it.
    """
    names = ("probabilities",) if taken.head is not None else NAMES

    def outputs(images: Array) -> Sequence[Array]:
        x = (images - jnp.asarray(seen.mean)) / jnp.asarray(seen.std)
        with _pools():
            features = encoder.apply(variables, x, train=False)
        if taken.head is not None:
            return (_said(taken.head, features.pooled),)
        return features.pooled, features.grid.astype(jnp.float32)

    encoder = _in_float32(taken.encoder)
    side = (1, seen.size, seen.size, taken.channels)
    variables = _standardized(encoder, taken.variables, side)
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
    if taken.head is not None:
        names_of_classes = json.dumps(list(map(str, taken.head.classes)))
        model.metadata_props.add(key="classes", value=names_of_classes)
    written = model.SerializeToString()
    _check(written, outputs, side, encoder)
    return written


def _standardized(
    encoder: Any, variables: Variables, shape: tuple[int, ...]
) -> Variables:
    """Kernels as their layers apply them, for jax2onnx takes them as they are."""
    paths = set()

    def noted(call: Any, args: Any, settings: Any, context: Any) -> Any:
        if isinstance(context.module, StandardizedConv | StandardizedDense):
            paths.add((*context.module.path, "kernel"))
        return call(*args, **settings)

    apply = functools.partial(encoder.apply, train=False)
    with nn.intercept_methods(noted):
        jax.eval_shape(apply, variables, jax.ShapeDtypeStruct(shape, jnp.float32))
    flat = flatten_dict(dict(variables["params"]))
    flat |= {path: standardize_kernel(flat[path]) for path in paths}
    return {**variables, "params": unflatten_dict(flat)}


def _check(
    model: bytes,
    outputs: Callable[[Array], Sequence[Array]],
    shape: tuple[int, ...],
    encoder: Any,
) -> None:
    """Runs the file where onnxruntime is installed, as it is with jax2onnx.

    Raises:
        ValueError: if it cannot, or if it says something else of an image than ours.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return
    images = np.random.default_rng(0).random(shape, np.float32)
    with jax.default_matmul_precision("highest"):
        known = [np.asarray(value) for value in jax.jit(outputs)(images)]
    what = f"--to=onnx: what jax2onnx writes of a {type(encoder).__name__}"
    instead = "--to=npz and --to=safetensors hold it"
    try:
        said = onnxruntime.InferenceSession(model).run(None, {"images": images})
    except Exception as error:  # Of types of its own.
        why = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{what} is not run by onnxruntime ({why}); {instead}."
        ) from error
    for found, wanted in zip(said, known, strict=True):
        off = float(np.abs(found - wanted).max() / max(float(wanted.std()), 1e-6))
        if not off <= TOLERANCE:
            raise ValueError(
                f"{what} differs from it by {off:.1e} of the deviation; {instead}."
            )


def _in_float32(encoder: Any) -> Any:
    """The same encoder, computing in float32: runtimes know little of bfloat16."""
    if isinstance(encoder, ClassTokens):
        return encoder.clone(vit=_in_float32(encoder.vit))
    if getattr(encoder, "dtype", "float32") == "float32":
        return encoder
    return encoder.clone(dtype="float32")


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
            count_include_pad: bool = True,
        ) -> Array:
            def pooled(x: Array, padding: Any) -> Array:
                if not isinstance(padding, str):
                    around = ((0, 0), *padding, (0, 0))
                    x = jnp.pad(x, around, constant_values=edge)
                    padding = "VALID"
                window = {"window_shape": window_shape, "strides": strides}
                return pool(x, **window, padding=padding)

            if count_include_pad or padding == "VALID":
                return pooled(x, padding)
            # As a sum over as many cells as lie within.
            return pooled(x, padding) / pooled(jnp.ones_like(x), padding)

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
