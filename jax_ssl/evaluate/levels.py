"""Grids of a frozen encoder for dense heads, and the input itself cut like them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Variables
from jax_ssl.encoders.vit import ViT
from jax_ssl.evaluate.protocol import Reader

Levels: TypeAlias = tuple[Array, ...]  # Grids [B, h, w, D], from fine to coarse.


class ReadLevels(NamedTuple):
    """What is read of pictures.

    Attributes:
        network: the encoder's variables and pictures [B, H, W, C] to levels.
        raw: {} and pictures to levels of as many cells, which hold their own pixels.
    """

    network: Reader
    raw: Reader


def last_levels(encoder: Any, blocks: int, stage: int | None) -> ReadLevels:
    """The last grid of an encoder, several of its last levels, or a single one.

    Args:
        encoder: whose `grid` or `pyramid` is read; of a ViT the tokens of its blocks.
        blocks: how many of the last ones.
        stage: the number of one, from 1, in the place of the last.

    Raises:
        ValueError: if there are not so many.
    """
    checks.at_least(1, blocks=blocks, stage=stage)
    if stage is not None and blocks > 1:
        raise ValueError(
            f"stage = {stage} reads one level and blocks = {blocks} several: leave one "
            "of the two out."
        )
    if isinstance(encoder, ViT):
        checks.within(f"[1, {encoder.depth}]", blocks=blocks, stage=stage)
        count = blocks if stage is None else encoder.depth - stage + 1

        def tokens(variables: Variables, x: Array) -> Levels:
            made = encoder.apply(variables, x, count, method=ViT.last_blocks)
            h, w = (side // encoder.patch for side in x.shape[1:3])
            found = made[0][:blocks]
            return tuple(each[:, 1:].reshape(len(x), h, w, -1) for each in found)

        return ReadLevels(tokens, input_like(encoder, tokens))

    def stages(variables: Variables, x: Array) -> Levels:
        features = encoder.apply(variables, x, train=False)
        if stage is None and blocks == 1:
            return (features.grid,)
        there = len(features.pyramid)
        checks.within(f"[1, {there}]", stage=stage)
        checks.within(f"[1, {max(there, 1)}]", blocks=blocks)
        chosen = slice(-blocks, None) if stage is None else slice(stage - 1, stage)
        return features.pyramid[chosen]

    return ReadLevels(stages, input_like(encoder, stages))


def pyramid_of(encoder: Any) -> ReadLevels:
    """All stages of an encoder."""

    def stages(variables: Variables, x: Array) -> Levels:
        levels: Levels = encoder.apply(variables, x, train=False).pyramid
        if not levels:
            raise ValueError(
                f"a {type(encoder).__name__} has no pyramid of stages for a decoder "
                "with skips; evals.linear_segmentation reads its cells."
            )
        return levels

    return ReadLevels(stages, input_like(encoder, stages))


def readable(
    encoder: Any,
    levels: ReadLevels,
    seen: Any,
    sides: Callable[[Sequence[int]], tuple[int, int]],
) -> list[Levels]:
    """Shapes of the levels of a crop and of a whole picture.

    Args:
        encoder: that makes them.
        levels: of it.
        seen: shape and dtype of what it reads of an example.
        sides: of a crop, by the shape of what is seen.

    Raises:
        ValueError: if it reads no pictures, or none of these sides, or loses their
            borders.
    """
    if len(seen.shape) != 3:
        raise ValueError(
            f"the encoder reads {seen.shape} of an example, not a picture [H, W, C], "
            "whose pixels could be told apart."
        )
    if margin := getattr(encoder, "margin", 0):
        raise ValueError(
            f"the encoder loses {margin} pixels at each border, which would have no "
            "class; choose encoder.padding = 'same'."
        )
    found = []
    for shape in ((*sides(seen.shape), seen.shape[-1]), seen.shape):
        x = jax.ShapeDtypeStruct((1, *shape), seen.dtype)
        made = jax.eval_shape(levels.network, _variables(encoder, x), x)
        if any(len(level.shape) != 4 for level in made):
            raise ValueError(f"a {type(encoder).__name__} makes no grid of cells.")
        found.append(made)
    return found


def input_like(encoder: Any, read: Reader) -> Reader:
    """The input itself in the cells of an encoder's levels.

    Args:
        encoder: that makes the levels.
        read: its variables and pictures to levels.
    """

    def like(variables: Variables, x: Array) -> Levels:
        del variables
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        levels = jax.eval_shape(read, _variables(encoder, shape), shape)
        return tuple(cells(x, level.shape[1:3]) for level in levels)

    return like


def cells(x: Array, sides: Sequence[int]) -> Array:
    """The pixels of each cell of a grid, [B, h, w, D], of pictures [B, H, W, C].

    Pictures that the grid does not divide are resized to the nearest that it does.
    """
    B, *whole, C = x.shape
    h, w = sides
    y, z = (max(1, round(n / side)) for n, side in zip(whole, sides, strict=True))
    x = jax.image.resize(x, (B, h * y, w * z, C), "bilinear")
    return x.reshape(B, h, y, w, z, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, h, w, -1)


def _variables(encoder: Any, x: jax.ShapeDtypeStruct) -> Any:
    def start(key: Array, x: Array) -> Variables:
        return encoder.init(key, x, train=False)

    return jax.eval_shape(start, jax.random.key(0), x)
