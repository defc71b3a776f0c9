"""Networks that say how a camera has moved between frames."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.disparity import XAVIER, Norm, convolution, fitted, normalized
from jax_ssl.nn.upsampling import UpConv

# Published codes multiply motions by this, so that they begin near standing still.
MOTION_SCALE = 0.01


class PoseDecoder(nn.Module, kw_only=True):
    """The motion between two frames, from the last grid of an encoder of both.

    Monodepth2 (Godard et al., 2019, arXiv:1806.01260): 1 x 1 taps, two convolutions of
    3 x 3, 1 x 1 to the motion, the mean over all places, times a small number. Its
    released code makes two motions and reads the first.

    Attributes:
        width: channels between.
        scale: factor of the motion.
        dtype: compute dtype; parameters and the motion are float32.
    """

    width: int = 256
    scale: float = MOTION_SCALE
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, grid: Array, *, train: bool = False) -> Array:
        """[B, 6] of grids [B, h, w, D]: translation in metres, axis times angle."""
        del train
        x = grid
        for i, size in enumerate((1, 3, 3)):
            layer = convolution(x, self.width, size, dtype=self.dtype, name=f"conv{i}")
            x = nn.relu(layer)
        x = convolution(x, 6, 1, dtype=self.dtype, name="motion")
        return self.scale * x.astype(jnp.float32).mean((1, 2))


class EgoMotionNet(nn.Module, kw_only=True):
    """Motions from a target to all sources, and what of the target they explain.

    SfMLearner (Zhou et al., 2017, arXiv:1704.07813), section 3.3 and figure 4 (b).

    Attributes:
        num_sources: S.
        widths: channels of the convolutions with stride 2 that both halves share.
        pose_widths: of those that only the motion has.
        explain_widths: of the up-convolutions of the explainability masks, the coarsest
            first, as many as `widths`; () for no masks.
        num_scales: of the masks, the finest.
        scale: factor of the motions.
        norm: "none", or "batch" before every activation.
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and outputs are float32.

    Note:
        The up-convolutions have 4 x 4 taps, those of the masks 3 x 3; in the released
        code the last two of each have 5 x 5 and 7 x 7.
    """

    num_sources: int
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    pose_widths: tuple[int, ...] = (256, 256)
    explain_widths: tuple[int, ...] = (256, 128, 64, 32, 16)
    num_scales: int = 4
    scale: float = MOTION_SCALE
    norm: Norm = "none"
    groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Array, *, train: bool = False
    ) -> tuple[Array, tuple[Array, ...]]:
        """Reads the target and its sources along the channels, [B, H, W, (1 + S) C].

        Returns:
            (motions [B, S, 6]: translation, then the angles about x, y and z; logits
            [B, h, w, S, 2] of the masks, from fine to coarse, whose second class is
            "explained").
        """
        levels = [x]

        def act(x: Array, name: str) -> Array:
            settings = {"train": train, "dtype": self.dtype, "name": f"{name}_norm"}
            return nn.relu(normalized(x, self.norm, groups=self.groups, **settings))

        def down(x: Array, width: int, i: int) -> Array:
            size = {0: 7, 1: 5}.get(i, 3)
            settings = {"stride": 2, "dtype": self.dtype, "name": f"conv{i}"}
            return act(convolution(x, width, size, **settings), f"conv{i}")

        for i, width in enumerate(self.widths):
            x = down(x, width, i)
            levels.append(x)
        pose = x
        for i, width in enumerate(self.pose_widths, len(self.widths)):
            pose = down(pose, width, i)
        pose = convolution(pose, 6 * self.num_sources, 1, dtype=self.dtype, name="pose")
        pose = self.scale * pose.astype(jnp.float32).mean((1, 2))
        masks: list[Array] = []
        for i, width in enumerate(self.explain_widths):
            up = UpConv(width, "transposed", True, self.dtype, XAVIER, name=f"up{i}")
            x = fitted(act(up(x), f"up{i}"), levels[-2 - i])
            if len(self.explain_widths) - i <= self.num_scales:
                channels = 2 * self.num_sources
                raw = convolution(x, channels, dtype=self.dtype, name=f"mask{i}")
                shape = (*x.shape[:3], self.num_sources, 2)
                masks.append(raw.astype(jnp.float32).reshape(shape))
        return pose.reshape(-1, self.num_sources, 6), tuple(reversed(masks))
