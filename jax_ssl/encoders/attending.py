"""What a vision transformer's class token looks at, as numbers and as pictures."""

from collections.abc import Callable
from typing import Any

from jax_ssl.core.method import Shown
from jax_ssl.core.types import Array, Batch, Variables
from jax_ssl.ops.patches import grid_shape, keep_mass, upsampled

# Of pictures: the share of the attention that is kept (DINO, section 4.2.2), and heads.
SHOWN_MASS, SHOWN_HEADS = 0.6, 6


class Attending:
    """What a `ViT` is asked beside its features."""

    depth: int
    num_heads: int
    patch: int
    registers: int
    class_token: bool
    apply: Callable[..., Any]

    def attention(self, variables: Variables, images: Array) -> Array:
        """What the class token looks at in the last block, for every head.

        Args:
            variables: of this network.
            images: [B, H, W, C], of any size that the patch divides; the positions are
                interpolated where it is not the network's own.

        Returns:
            [B, heads, 1 + registers + h * w] float32, rows summing to 1: the share of
            the class token itself, of the registers, and of the patches row by row.

        Raises:
            ValueError: if the network has no class token.
        """
        if not self.class_token:
            raise ValueError("this vision transformer has no class token to ask.")
        _, kept = self.apply(variables, images, train=False, mutable=["intermediates"])
        block = kept["intermediates"][f"block{self.depth - 1}"]
        weights: Array = block["attention"]["weights"][0]  # [B, heads, n, n]
        return weights[:, :, 0]

    def attention_maps(self, variables: Variables, images: Array) -> Array:
        """The patches' part of `attention`, [B, heads, h, w]."""
        h, w = grid_shape(images.shape[1], images.shape[2], self.patch)
        patches = self.attention(variables, images)[:, :, 1 + self.registers :]
        return patches.reshape(*patches.shape[:2], h, w)

    def shows(self, variables: Variables, examples: Batch) -> dict[str, Shown]:
        """Pictures of the attention of a few examples, for the report; see `ShowFn`."""
        if not self.class_token:
            return {}
        images = examples["view"]
        maps = self.attention_maps(variables, images)
        kept = upsampled(keep_mass(maps.mean(axis=1), SHOWN_MASS), self.patch)
        columns: dict[str, tuple[str, Array]] = {
            "image": ("view", images),
            f"{SHOWN_MASS:.0%} kept": ("view", images * kept[..., None]),
        }
        for head in range(min(self.num_heads, SHOWN_HEADS)):
            columns[f"head {head + 1}"] = "heat", upsampled(maps[:, head], self.patch)
        caption = (
            "Attention of the class token in the last block, a square for each patch; "
            "each map goes from its least to its largest. The second column leaves the "
            f"fewest patches that hold {SHOWN_MASS:.0%} of the mean over all heads."
        )
        if self.num_heads > SHOWN_HEADS:
            caption += f" {SHOWN_HEADS} of {self.num_heads} heads are shown."
        return {"Attention": Shown(columns, caption)}
