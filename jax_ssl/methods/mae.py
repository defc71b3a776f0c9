"""Masked autoencoder, MAE (He et al., 2022, arXiv:2111.06377).

The encoder, a vision transformer, sees a random quarter of the patches of an image; a
light decoder predicts the pixels of the others, and is then thrown away. For comparison
the encoder may instead see all places, with mask tokens, as in BERT (Devlin et al.,
2019, arXiv:1810.04805).

Views: [B, H, W, C] float.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params
from jax_ssl.encoders.vit import ViT
from jax_ssl.losses.masked import masked_mse
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.decoder import Decoder
from jax_ssl.nn.network import Network, StatsState
from jax_ssl.nn.views import image
from jax_ssl.ops.normalize import standardize
from jax_ssl.ops.patches import (
    Kept,
    grid_shape,
    kept_count,
    patchify,
    random_keep,
    unpatchify,
)

# What the encoder sees: the patches that are not hidden, or a token at every place.
Encode: TypeAlias = Literal["visible", "all"]

# Of the patches, hidden in pictures: figures 2 to 4 of the paper, and a harder one.
SHOWN_RATIOS = (0.75, 0.85, 0.95)


class Autoencoder(nn.Module):
    """An encoder of the visible patches and a decoder of all of them.

    Attributes:
        encoder: evaluation keeps it.
        decoder: training alone has it.
        encode: "visible", or "all": the encoder has its mask token in the place of
            every hidden patch.
    """

    encoder: ViT
    decoder: Decoder
    encode: Encode = "visible"

    @nn.compact
    def __call__(
        self, images: Array, keep: Array, restore: Array, *, train: bool
    ) -> Array:
        """Predictions of all patches, [B, N, P] float32.

        Args:
            images: [B, H, W, C], of which only the patches `keep` are looked at.
            keep: [B, K], see `Kept`.
            restore: [B, N], likewise.
            train: drops paths of the encoder, if it has any.
        """
        height, width, channels = images.shape[1:]
        patch = self.encoder.patch
        grid, values = grid_shape(height, width, patch), patch * patch * channels
        if self.encode == "all":
            hidden = restore >= keep.shape[1]
            tokens = self.encoder.tokens(images, mask=hidden, train=train)
            # Every patch has its token already, in its place.
            restore = jnp.broadcast_to(jnp.arange(restore.shape[1]), restore.shape)
        else:
            tokens = self.encoder.tokens(images, keep, train=train)
        return self.decoder(tokens, restore, grid, values, train=train)


def mae(
    encoder: ViT,
    views: ViewFn,
    masks: Callable[[Array, Array], Kept] | None = None,
    *,
    mask_ratio: float = 0.75,
    encode: Encode = "visible",
    norm_pix: bool = True,
    decoder_width: int = 512,
    decoder_depth: int = 8,
    decoder_heads: int = 16,
) -> Method:
    """Builds MAE around a vision transformer; settings as in section 3, appendix A.1.

    The encoder has `positions="sincos", scheme="mae"` there. Its loss has no value of
    chance, and compares no embeddings; with `norm_pix` a decoder that predicts 0 has
    (P - 1) / P, P being the values of a patch.

    Args:
        encoder: a `ViT`; evaluation keeps it and shows it all patches as they are.
        views: one example -> [H, W, C].
        masks: (key, images [B, H, W, C]) -> which patches stay visible, in the place
            of a random draw, such as those that were recorded of another program.
        mask_ratio: share of the patches that are hidden, in (0, 1); 0.15 in BERT.
        encode: "visible": the encoder sees the other patches alone, and the decoder
            adds mask tokens. "all": the encoder sees its own mask token in each hidden
            place (table 1c), and needs `mask_token=True`; every hidden patch becomes
            the mask token, where BERT leaves some as they are and exchanges others.
        norm_pix: the target is each patch standardized by its own mean and (unbiased)
            variance, which table 1d finds best; False for the pixels themselves.
        decoder_width: of its tokens.
        decoder_depth: its blocks; with "all" there may be none, and the decoder then
            reads every token by itself, as the heads of BERT do.
        decoder_heads: of its attention; divides the width.

    Raises:
        ValueError: if the encoder cannot leave patches out, or a setting is out of
            range.
    """
    if not isinstance(encoder, ViT):
        raise ValueError(
            f"mae hides patches from the encoder, and {type(encoder).__name__} has "
            "none; choose a vision transformer, such as encoder.name = 'vit_b'."
        )
    checks.within("(0, 1)", mask_ratio=mask_ratio)
    checks.one_of(get_args(Encode), encode=encode)
    if encode == "all" and not encoder.mask_token:
        raise ValueError(
            "encode = 'all' puts mask tokens into the encoder; set encoder.mask_token "
            "= True."
        )
    # Only attention tells mask tokens of a decoder what is visible.
    checks.at_least(1 if encode == "visible" else 0, decoder_depth=decoder_depth)
    checks.at_least(1, decoder_heads=decoder_heads)
    if decoder_width % decoder_heads:
        raise ValueError(
            f"decoder_heads = {decoder_heads} must divide decoder_width = "
            f"{decoder_width}."
        )
    decoder = Decoder(decoder_width, decoder_depth, decoder_heads, encoder.dtype)
    network = Autoencoder(encoder, decoder, encode)
    masks = masks or functools.partial(draw, patch=encoder.patch, mask_ratio=mask_ratio)

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        patches = masks(key, image(views))
        params, _ = initialize(network, key, views, patches.keep, patches.restore)
        return params, StatsState({"encoder": {}})  # A ViT has none.

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        keep, restore, mask = masks(key, views)
        prediction, _ = forward(network, params, {}, views, keep, restore)
        target = patchify(views.astype(jnp.float32), encoder.patch)
        target = standardize(target) if norm_pix else target
        value = masked_mse(prediction, target, mask)
        metrics = {
            # How far the decoder is from predicting nothing, and what it makes of the
            # patches that it saw and that the loss leaves out.
            "zero_loss": masked_mse(jnp.zeros_like(target), target, mask),
            "visible_loss": masked_mse(prediction, target, ~mask),
        }
        return value, (state, jax.lax.stop_gradient(metrics))

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del state
        images = examples["view"]
        h, w = grid_shape(images.shape[1], images.shape[2], encoder.patch)
        columns: dict[str, tuple[str, Array]] = {"original": ("view", images)}
        ratios = sorted({mask_ratio, *SHOWN_RATIOS})
        for ratio in (ratio for ratio in ratios if h * w * (1 - ratio) >= 1):
            found = reconstruct(
                network, params, images, key, mask_ratio=ratio, norm_pix=norm_pix
            )
            for what, pictures in found.items():
                columns[f"{ratio:.0%} hidden: {what}"] = "view", pictures
        caption = (
            f"Trained with {mask_ratio:.0%} of the patches hidden. Pasted: the visible "
            "patches as they are, the prediction elsewhere."
        )
        if norm_pix:
            caption += (
                " The model predicts standardized patches, so each is shown with the "
                "mean and the standard deviation of the true one, which the model did "
                "not know: look at shapes, and not at brightness."
            )
        return {"Hidden patches, filled in": Shown(columns, caption)}

    kept = Network(encoder=encoder).evaluated()
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)


def draw(key: Array, images: Array, patch: int, mask_ratio: float) -> Kept:
    """Which patches of the images [B, H, W, C] stay visible."""
    h, w = grid_shape(images.shape[1], images.shape[2], patch)
    return random_keep(key, images.shape[0], h * w, kept_count(h * w, mask_ratio))


def reconstruct(
    network: Autoencoder,
    params: Params,
    images: Array,
    key: Array,
    *,
    mask_ratio: float = 0.75,
    norm_pix: bool = True,
) -> dict[str, Array]:
    """Hides patches and fills them in, for pictures; in evaluation mode.

    Args:
        network: of the method's settings.
        params: of the method.
        images: [B, H, W, C], standardized as the views were.
        key: [] of the choice of patches.
        mask_ratio: share of hidden patches; need not be that of training.
        norm_pix: as in training.

    Returns:
        [B, H, W, C] each: "visible", the images, 0 where hidden; "predicted", of all
        pixels, also of the visible ones; "pasted", the images, the prediction where
        hidden.

    Note:
        With `norm_pix` the decoder does not say how bright and how rich in contrast a
        patch is. Its predictions then get the mean and standard deviation of the TRUE
        patch, hidden or not, so the picture flatters the model by these two numbers a
        patch.
    """
    patch = network.encoder.patch
    keep, restore, mask = draw(key, images, patch, mask_ratio)
    prediction, _ = forward(network, params, {}, images, keep, restore, train=False)
    patches = patchify(images, patch)
    if norm_pix:
        mean = patches.mean(axis=-1, keepdims=True)
        variance = patches.var(axis=-1, ddof=1, keepdims=True)
        prediction = prediction * jnp.sqrt(variance + 1e-6) + mean
    hidden = mask[..., None]
    grid = grid_shape(images.shape[1], images.shape[2], patch)
    found = {
        "visible": jnp.where(hidden, 0, patches),
        "predicted": prediction,
        "pasted": jnp.where(hidden, prediction, patches),
    }
    return {what: unpatchify(values, patch, grid) for what, values in found.items()}
