"""Vision transformer (Dosovitskiy et al., 2021, arXiv:2010.11929).

The conventions are timm's, so that converted weights give the same features: pre-norm
blocks, LayerNorm with ε = 1e-6, exact GELU, biases everywhere, a class token in front.
Settings make it the networks of other papers whose weights are published.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.linen.initializers import Initializer

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.encoders.attending import Attending
from jax_ssl.nn.affine import Dense, LayerNorm
from jax_ssl.nn.depth import recomputed, scanned
from jax_ssl.nn.map_head import MAPHead
from jax_ssl.nn.transformer import Block
from jax_ssl.ops.patches import gather_tokens, grid_shape, patchify
from jax_ssl.ops.positions import resample_positions, rotations, sincos_positions

NORMAL = nn.initializers.normal(0.02)
XAVIER = nn.initializers.xavier_uniform()


class Scheme(NamedTuple):
    """First values of a vision transformer's weights; all biases start at 0."""

    kernel: Initializer = NORMAL
    qkv: Initializer = NORMAL
    patch: Initializer = NORMAL
    token: Initializer = NORMAL


SCHEMES = {
    # Truncated at ±2, which is 100 standard deviations: a plain normal. The patch
    # projection is torch's default for convolutions, U(±1 / sqrt(fan_in)).
    "dino": Scheme(patch=nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")),
    "mae": Scheme(kernel=XAVIER, qkv=XAVIER, patch=XAVIER),
    # Query, key and value count as three square matrices.
    "moco_v3": Scheme(
        kernel=XAVIER,
        qkv=nn.initializers.variance_scaling(1.0, "fan_in", "uniform"),
        patch=XAVIER,
        token=nn.initializers.normal(1e-6),
    ),
}


class ViT(Attending, nn.Module, kw_only=True):
    """Vision transformer over images of any size that the patch divides.

    Attributes:
        dim: width of a token.
        depth: number of blocks.
        num_heads: attention heads; divides `dim`.
        patch: side of a patch in pixels.
        image_size: side of the square images that the positions are made for; for
            other images they are interpolated.
        pool: "class" (the class token after the final norm), "mean" (the final norm
            of the mean of the patch tokens), "normed_mean" (the mean of the patch
            tokens after the final norm) or "map" (an attention head, see `nn.map_head`,
            on all tokens after the final norm).
        class_token: whether there is one; without, it pools otherwise, and methods and
            protocols that read it cannot be used.
        positions: "learned", also for the class token; "sincos" (fixed; 0 for the class
            token); or "rope" (queries and keys are rotated by an angle that grows with
            the place; see `ops.positions.rotations`).
        rope_base: longest period of "rope", in half sides of the image.
        resample: how positions are interpolated for other images, see
            `ops.positions.resample_positions`: "timm", "mae", or "dino" for weights
            of DINO and DINOv2.
        norm_epsilon: ε of all layer norms; 1e-5 in torch's own transformer, 1e-12 in
            some published weights.
        registers: learned tokens without a position that are dropped at the output
            (Darcet et al., 2024, arXiv:2309.16588).
        mask_token: whether a learned mask token exists, for `tokens(mask=...)`.
        mlp_ratio: hidden width of the feed-forward layers over `dim`.
        feed_forward: "mlp", or "swiglu", see `nn.swiglu`, as in DINOv2's ViT-g.
        activation: of "mlp": "gelu", exact, or "gelu_tanh", its approximation by a
            hyperbolic tangent, as in networks of JAX and TensorFlow.
        drop_path: probability of dropping the last block's branches, rising linearly
            from 0 at the first block; needs a "drop_path" key when training.
        drop_path_uniform: the same probability in all blocks, as in DINOv2.
        drop_path_group: 0, or of how many consecutive rows a fixed share loses the
            branch, for which it is then not computed; 0 draws row by row, and computes
            all.
        layer_scale: first value of the layer scale; 0 for none.
        scheme: whose first weights: "dino", "mae" or "moco_v3".
        remat: what blocks recompute in the backward pass, to save memory: "none",
            "dots" (all but matrix products) or "full".
        scan_layers: one compiled block in a loop, for short compilations. Draws of drop
            path are others then; all else is the same.
        dtype: compute dtype; parameters, the final norm and all outputs are float32.

    Note:
        There is one final norm. With `pool="mean"` it follows the mean, as `fc_norm` in
        timm and in MAE's fine-tuning code; `tokens` and `grid` are normed one by one.
    """

    dim: int = 192
    depth: int = 12
    num_heads: int = 3
    patch: int = 16
    image_size: int = 224
    pool: Literal["class", "mean", "normed_mean", "map"] = "class"
    class_token: bool = True
    positions: Literal["learned", "sincos", "rope"] = "learned"
    rope_base: float = 100.0
    resample: Literal["timm", "mae", "dino"] = "timm"
    norm_epsilon: float = 1e-6
    registers: int = 0
    mask_token: bool = False
    mlp_ratio: float = 4.0
    feed_forward: Literal["mlp", "swiglu"] = "mlp"
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    drop_path: float = 0.0
    drop_path_uniform: bool = False
    drop_path_group: int = 0
    layer_scale: float = 0.0
    scheme: Literal["dino", "mae", "moco_v3"] = "dino"
    remat: Literal["none", "dots", "full"] = "none"
    scan_layers: bool = False
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        checks.words(self)
        checks.at_least(1, dim=self.dim, depth=self.depth, num_heads=self.num_heads)
        checks.at_least(0, registers=self.registers, layer_scale=self.layer_scale)
        checks.at_least(0, drop_path_group=self.drop_path_group)
        checks.positive(mlp_ratio=self.mlp_ratio, norm_epsilon=self.norm_epsilon)
        checks.positive(rope_base=self.rope_base)
        checks.within("[0, 1)", drop_path=self.drop_path)
        if self.dim % self.num_heads:
            raise ValueError(
                f"num_heads = {self.num_heads} does not divide the width {self.dim}."
            )
        if self.positions == "rope" and self.dim // self.num_heads % 4:
            raise ValueError(
                f"positions = 'rope' needs heads of a multiple of 4 channels, not "
                f"{self.dim // self.num_heads}."
            )
        if self.pool == "class" and not self.class_token:
            raise ValueError("class_token = False leaves nothing for pool = 'class'.")
        if self.scan_layers and self.drop_path_group and not self.drop_path_uniform:
            raise ValueError(
                "scan_layers loops over blocks that are alike: with drop_path_group "
                "set drop_path_uniform = True too."
            )
        grid_shape(self.image_size, self.image_size, self.patch)
        super().__post_init__()

    def setup(self) -> None:
        """Makes the parts; nothing here depends on the size of the input."""
        first = SCHEMES[self.scheme]
        side = self.image_size // self.patch
        self.patch_embed = Dense(self.dim, kernel_init=first.patch, dtype=self.dtype)
        # Tokens are [1, D]: as matrices they get the weight decay that the published
        # recipes, which spare vectors only, give them.
        front = int(self.class_token)
        if self.class_token:
            self.class_embed = self.param("class_token", first.token, (1, self.dim))
        if self.positions == "learned":
            shape = (front + side * side, self.dim)
            self.position_embed = self.param("position_embed", NORMAL, shape)
        elif self.positions == "sincos":
            table = sincos_positions(side, side, self.dim)
            self.position_embed = jnp.asarray(np.pad(table, ((front, 0), (0, 0))))
        if self.registers:
            shape = (self.registers, self.dim)
            self.register_tokens = self.param("register_tokens", first.token, shape)
        if self.mask_token:
            zeros = nn.initializers.zeros
            self.mask_embed = self.param("mask_embed", zeros, (1, self.dim))
        self.blocks = [
            recomputed(Block, "none" if self.scan_layers else self.remat)(
                self.num_heads,
                self.mlp_ratio,
                drop_path=rate,
                drop_group=self.drop_path_group,
                layer_scale=self.layer_scale,
                kernel_init=first.kernel,
                qkv_init=first.qkv,
                dtype=self.dtype,
                norm_epsilon=self.norm_epsilon,
                gated=self.feed_forward == "swiglu",
                activation=self.activation,
                name=f"block{i}",
            )
            for i, rate in enumerate(self._rates())
        ]
        self.norm = LayerNorm(epsilon=self.norm_epsilon)
        if self.pool == "map":
            self.map_head = MAPHead(
                self.num_heads, self.mlp_ratio, self.activation, self.norm_epsilon
            )

    def __call__(self, x: Array, mask: Array | None = None, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to pooled [B, D] and grid [B, h, w, D], float32.

        Args:
            x: [B, H, W, C].
            mask: [B, h * w] bool, patches replaced by the mask token, if any.
            train: only drops paths.

        Raises:
            ValueError: if the patch does not divide H and W, or if there is a mask but
                no mask token.
        """
        return self._features(self._encode(x, None, mask, train)[-1], x)

    def _features(self, tokens: Array, x: Array) -> Features:
        h, w = grid_shape(x.shape[1], x.shape[2], self.patch)
        normed = self.norm(tokens)
        front = int(self.class_token)
        patches = normed[:, front:]
        if self.pool == "class":
            pooled = normed[:, 0]
        elif self.pool == "mean":
            pooled = self.norm(tokens[:, front:].mean(1, dtype=jnp.float32))
        elif self.pool == "normed_mean":
            pooled = patches.mean(1)
        else:
            pooled = self.map_head(normed)
        return Features(pooled, patches.reshape(x.shape[0], h, w, self.dim))

    def tokens(
        self,
        x: Array,
        keep: Array | None = None,
        *,
        mask: Array | None = None,
        train: bool = False,
    ) -> Array:
        """Normed tokens of the images, the class token first.

        Args:
            x: [B, H, W, C].
            keep: [B, K] int32, numbers of the patches that enter the network, each with
                the position of its place in the image; all patches if None.
            mask: [B, h * w] bool, patches replaced by the mask token; not with `keep`.
            train: only drops paths.

        Returns:
            [B, 1 + K, D] float32, patches in the order of `keep`.

        Raises:
            ValueError: if the patch does not divide H and W, or there is no class
                token, or a mask but no mask token.
        """
        self._needs_class_token()
        return self.norm(self._encode(x, keep, mask, train)[-1])

    def last_blocks(
        self, x: Array, count: int, *, train: bool = False
    ) -> tuple[list[Array], Features]:
        """Normed tokens of the last blocks, [B, 1 + h w, D] float32, and the features.

        The class token comes first of the tokens, and the last block comes last.
        """
        self._needs_class_token()
        outputs = self._encode(x, None, None, train, count)
        return list(map(self.norm, outputs)), self._features(outputs[-1], x)

    def _encode(
        self,
        x: Array,
        keep: Array | None,
        mask: Array | None,
        train: bool,
        last: int = 1,
    ) -> list[Array]:
        """Tokens of the last blocks before the norm, [B, 1 + K, D], without registers.

        Patches are either left out, by `keep`, or replaced, by `mask`.
        """
        side = self.image_size // self.patch
        grid = grid_shape(x.shape[1], x.shape[2], self.patch)
        front = int(self.class_token)
        turn, at_patches = None, jnp.zeros(())
        if self.positions == "rope":
            channels = self.dim // self.num_heads
            turn = jnp.asarray(rotations(*grid, channels, base=self.rope_base))
            turn = turn if keep is None else turn[keep]
        else:
            own = self.position_embed[front:]
            at_patches = resample_positions(own, (side,) * 2, grid, form=self.resample)
            at_patches = at_patches if keep is None else at_patches[keep]
        patches = patchify(x, self.patch)
        if keep is not None:
            # Before the projection: what is dropped then costs nothing.
            patches = gather_tokens(patches, keep)
        tokens = self.patch_embed(patches)
        if mask is not None:
            if not self.mask_token:
                raise ValueError(
                    "a mask needs a mask token; set encoder.mask_token = True."
                )
            tokens = jnp.where(mask[..., None], self.mask_embed, tokens)
        tokens = (tokens + at_patches).astype(self.dtype)
        prefix = []
        if self.class_token:
            at_front = 0 if turn is not None else self.position_embed[:1]
            prefix.append(self.class_embed + at_front)
        if self.registers:
            prefix.append(self.register_tokens)
        if prefix:
            joined = jnp.concatenate(prefix).astype(self.dtype)
            joined = jnp.broadcast_to(joined, (x.shape[0], *joined.shape))
            tokens = jnp.concatenate([joined, tokens], axis=1)
        outputs = self._through_blocks(tokens, train, last, turn)
        if self.registers:
            gone = slice(front, front + self.registers)
            outputs = [jnp.delete(output, gone, axis=1) for output in outputs]
        return outputs

    def _needs_class_token(self) -> None:
        if not self.class_token:
            raise ValueError("this reads a class token, and class_token = False.")

    def _rates(self) -> list[float]:
        """Drop path of every block."""
        if self.drop_path_uniform:
            return [self.drop_path] * self.depth
        return [self.drop_path * i / max(self.depth - 1, 1) for i in range(self.depth)]

    def _through_blocks(
        self, tokens: Array, train: bool, last: int, turn: Array | None
    ) -> list[Array]:
        shown = self.is_mutable_collection("intermediates")  # A loop shows nothing.
        if not self.scan_layers or self.is_initializing() or shown or last > 1:
            outputs = []
            for block in self.blocks:
                tokens = block(tokens, train, turn)
                outputs.append(tokens)
            return outputs[-last:]
        drops = train and self.drop_path > 0
        rates = self._rates() if drops and not self.drop_path_uniform else None
        key = self.make_rng("drop_path") if drops else None
        how: dict[str, Any] = {"train": train, "remat": self.remat, "turn": turn}
        return [scanned(self.blocks, tokens, rates=rates, key=key, **how)]
