"""What to do about arrays that are not what their kind should be."""

import numpy as np

from jax_ssl.core.fields import Kind
from jax_ssl.data.ranges import ADVICE


def advice(array: np.ndarray, kind: Kind, axes: int) -> str:
    """What to do about an array of a dtype or a number of axes that its kind has not.

    Args:
        array: [N, ...].
        kind: what it should be.
        axes: how many that kind has, rows included.
    """
    if array.dtype.kind == "O":
        return " It has Python objects; make it an array of numbers, or of text."
    if kind == "label" and array.dtype.kind in "fiub":
        return _label_advice(array)
    if kind == "image" and array.ndim != axes:
        return (
            " Images are [N, H, W] or [N, H, W, C]; give the array this shape with "
            "reshape."
        )
    if kind in ("image", "frames") and array.ndim == axes and array.size:
        if array.dtype.kind in "iu":
            return f" Its numbers are {array.min()} to {array.max()}: {ADVICE}."
        if array.dtype.kind == "b":
            return " Make them white and black, with 255 * array.astype(np.uint8)."
    return ""


def _label_advice(array: np.ndarray) -> str:
    """How [N, ...] numbers that are no integers [N] become labels."""
    if missing := int(np.isnan(array.astype(float)).sum()):
        return (
            f" {missing} of its numbers are NaN; leave such examples out, or give them "
            "a class, then store it as labels.astype(int)."
        )
    if array.ndim == 2:
        if ((array == 1).sum(1) == 1).all() and ((array == 0) | (array == 1)).all():
            return " It is one-hot; store it as labels.argmax(1)."
        return " Each example needs one class, a number from 0; see data.fields."
    if array.ndim != 1:
        return " Each example needs one class, a number from 0."
    if (array % 1 != 0).any():
        return f" {array[array % 1 != 0][0]:g} is no class; classes are 0, 1, 2, ..."
    return " Its numbers are whole; store it as labels.astype(int)."
