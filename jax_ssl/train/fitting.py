"""An encoder's file made to fit a run whose images, or settings, are a little others.

What it can be fitted to is the grid of a vision transformer's positions and its mask
token; all else must be as it is in the file.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Variables
from jax_ssl.ops.positions import resample_positions, sincos_positions

POSITIONS, MASK = "position_embed", "mask_embed"
# Fixed positions that a file holds as numbers differ by their rounding.
CLOSE = 1e-4


def fitted(
    variables: Variables,
    abstract: Variables,
    settings: Mapping[str, Any],
    theirs: Mapping[str, Any],
) -> tuple[Variables, list[str]]:
    """The variables of a file as a run's encoder takes them.

    Args:
        variables: {"params": ...} of the file.
        abstract: of the run's encoder, for their shapes.
        settings: of the run's encoder; of a ViT "positions", "image_size", "patch" and
            "resample" are read.
        theirs: settings of the file's encoder, as its card has them.

    Returns:
        The variables, and what was done to them, in words.

    Raises:
        ValueError: if the run reads images of other channels, or in other patches, or
            its encoder has fixed positions and the file has others.
    """
    own, wanted = variables.get("params"), abstract.get("params")
    if not isinstance(own, Mapping) or not isinstance(wanted, Mapping):
        return variables, []
    patches = [x.get("patch") for x in (theirs, settings)]
    if "patch_embed" in own and None not in patches and patches[0] != patches[1]:
        raise ValueError(
            f"its patches are of {patches[0]} pixels, and this run's of {patches[1]}; "
            f"set encoder.patch = {patches[0]}."
        )
    _check_channels(own, wanted, settings)
    params, said = dict(own), []
    if MASK in params and MASK not in wanted:
        del params[MASK]
        said.append("its mask token left out")
    if MASK in wanted and MASK not in params and "patch_embed" in params:
        params[MASK] = np.zeros(wanted[MASK].shape, np.float32)
        said.append("a new mask token of zeros")
    if "patch_embed" in params and settings.get("positions") in ("learned", "sincos"):
        said += _fit_positions(params, wanted, settings)
    return {**variables, "params": params}, said


def _fit_positions(
    params: dict[str, Any], wanted: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    front = int("class_token" in params)
    side = settings["image_size"] // settings["patch"]
    dim = np.shape(params["patch_embed"]["kernel"])[1]
    if POSITIONS not in params:
        if POSITIONS not in wanted:
            return []
        table = sincos_positions(side, side, dim)
        params[POSITIONS] = np.pad(table, ((front, 0), (0, 0)))
        return ["its fixed positions as numbers that learn"]
    table = np.asarray(params[POSITIONS], np.float32)
    old = math.isqrt(max(0, len(table) - front))
    if POSITIONS not in wanted:
        fixed = np.pad(sincos_positions(old, old, dim), ((front, 0), (0, 0)))
        if fixed.shape != table.shape or np.abs(fixed - table).max() > CLOSE:
            raise ValueError(
                "the file has positions of its own, and this run's encoder has the "
                "fixed ones of encoder.positions = 'sincos', which differ: set "
                "encoder.positions = 'learned'."
            )
        del params[POSITIONS]
        return ["its positions, which are the fixed ones, left out"]
    if table.shape == wanted[POSITIONS].shape or old * old + front != len(table):
        return []
    form = settings.get("resample", "timm")
    patches = jnp.asarray(table[front:])
    moved = resample_positions(patches, (old, old), (side, side), form=form)
    params[POSITIONS] = np.concatenate([table[:front], np.asarray(moved)])
    return [
        f"positions of {old} x {old} patches interpolated to {side} x {side} as "
        f"resample = {form!r} says"
    ]


def _check_channels(
    own: Mapping[str, Any], wanted: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuses images of other channels than the file has weights for."""
    for name in ("patch_embed", "stem_conv"):
        if name not in own or name not in wanted:
            continue
        there, here = (np.shape(x[name].get("kernel")) for x in (own, wanted))
        axis, area = (0, settings.get("patch", 1) ** 2) if len(there) == 2 else (2, 1)
        if len(there) != len(here) or there[axis] % area or here[axis] % area:
            continue
        others = [n for n in range(len(there)) if n != axis]
        alike = all(there[n] == here[n] for n in others)
        if alike and there[axis] != here[axis]:
            raise ValueError(
                f"it reads images of {there[axis] // area} channels, and those of this "
                f"run have {here[axis] // area}; give the run images of as many, as "
                "config.data.channels says where the source has such a setting."
            )
