"""A head that finds boxes without anchors, on the pyramid of any encoder."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.nn.group_norm import GroupNorm
from jax_ssl.ops.conv import conv_general_dilated

PRIOR = 0.01  # Of a class at a place, before anything is learned.
SMALL = nn.initializers.normal(0.01)


class Found(NamedTuple):
    """What the head says of every cell of all levels, the finest first.

    Attributes:
        classes: [B, L, K] float32, logits.
        sides: [B, L, 4] float32 above 0, distances to the left, upper, right and lower
            side of the box, in strides of the cell's level.
        centres: [B, L] float32, logits of the centreness.
    """

    classes: Array
    sides: Array
    centres: Array


class DetectionHead(nn.Module):
    """FCOS (Tian et al., 2019, arXiv:1904.01355), section 3, made small.

    The levels become a feature pyramid (Lin et al., 2017, arXiv:1612.03144): each is
    mapped to `width` channels, and from coarse to fine what lies below is added. Two
    towers that all levels share, one for classes and one for boxes and centreness, end
    in their answers. Distances are exponentials with a learned factor for each level.

    Attributes:
        num_classes: K.
        width: channels of towers and levels; a multiple of `norm_channels`.
        depth: convolutions of a tower.
        norm_channels: of a group of the group norms.
        dtype: compute dtype; parameters and answers are float32.
    """

    num_classes: int
    width: int = 256
    depth: int = 4
    norm_channels: int = 8
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, levels: tuple[Array, ...], *, train: bool) -> Found:
        """Maps levels [B, h, w, C], fine to coarse."""

        def conv(width: int, size: int, name: str, **more: Any) -> nn.Conv:
            return nn.Conv(
                width,
                (size, size),
                dtype=self.dtype,
                conv_general_dilated=conv_general_dilated,
                name=name,
                **more,
            )

        x = [
            conv(self.width, 1, f"lateral{i}")(level) for i, level in enumerate(levels)
        ]
        for i in reversed(range(len(x) - 1)):
            shape = (*x[i].shape[:3], self.width)
            x[i] = x[i] + jax.image.resize(x[i + 1], shape, "nearest")
        x = [conv(self.width, 3, f"level{i}")(level) for i, level in enumerate(x)]

        def tower(x: list[Array], name: str) -> list[Array]:
            for i in range(self.depth):
                layer = conv(self.width, 3, f"{name}{i}", kernel_init=SMALL)
                norm = GroupNorm(
                    num_groups=self.width // self.norm_channels, name=f"{name}_norm{i}"
                )
                x = [nn.relu(norm(layer(level), train=train)) for level in x]
            return x

        rare = nn.initializers.constant(float(-np.log((1 - PRIOR) / PRIOR)))
        score = conv(self.num_classes, 3, "classes", kernel_init=SMALL, bias_init=rare)
        side, centre = (
            conv(n, 3, name, kernel_init=SMALL)
            for n, name in ((4, "sides"), (1, "centres"))
        )
        scales = self.param("scales", nn.initializers.ones, (len(x),))
        shaped = tower(x, "box")
        sides = [jnp.exp(scales[i] * _flat(side(y))) for i, y in enumerate(shaped)]
        return Found(
            jnp.concatenate([_flat(score(y)) for y in tower(x, "class")], axis=1),
            jnp.concatenate(sides, axis=1),
            jnp.concatenate([_flat(centre(y))[..., 0] for y in shaped], axis=1),
        )


def _flat(x: Array) -> Array:
    """[B, h, w, C] as [B, h w, C] float32."""
    return x.reshape(len(x), -1, x.shape[-1]).astype(jnp.float32)
