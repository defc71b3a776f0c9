"""Context encoder: inpainting (Pathak et al., 2016, arXiv:1604.07379).

A region is taken out of an image and predicted from the rest. The error of the pixels
makes features; a discriminator that is to tell the prediction from the truth makes it
sharp.

Views: [B, H, W, C] float.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree
from jax_ssl.encoders.dcgan import SLOPE, Discriminator
from jax_ssl.losses.adversarial import deceiving_loss, discriminator_loss
from jax_ssl.losses.reconstruction import region_error
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.channelwise import ChannelwiseDense
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.upsampling import Upsampling, image_decoder
from jax_ssl.nn.views import image
from jax_ssl.ops.holes import center_hole, eroded, random_blocks, random_regions

Masks = Callable[[Array, Array], Array]


def context_encoder(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    masks: Masks | None = None,
    *,
    region: Literal["center", "blocks", "irregular"] = "center",
    area: float = 0.25,
    overlap: int = 4,
    overlap_weight: float = 10.0,
    fill: tuple[float, ...] = (0.0,),
    bottleneck: Literal["dense", "channelwise"] = "dense",
    code_dim: int = 4000,
    decoder_widths: tuple[int, ...] = (512, 256, 128, 64),
    upsampling: Upsampling = "transposed",
    tanh: bool = True,
    reconstruction_weight: float = 0.999,
    adversarial_weight: float = 0.001,
    discriminator_widths: tuple[int, ...] = (64, 128, 256, 512),
) -> Method:
    """Builds a context encoder; defaults as in the released code for 128 pixels.

    The loss is that of both players together. No gradient of one reaches the other's
    parameters, so that each learns as if alone; the part "discriminator" of the params
    can have an optimizer of its own in `config.optimizer.groups`. Both move at once,
    where the released code moves the discriminator first.

    Args:
        encoder: returns `Features`, whose grid is read; evaluation keeps it.
        views: one example -> one image, in [-1, 1] where `tanh` is on.
        heads: modules in the place of those made here, by the name of their part:
            "bottleneck", "decoder" and "discriminator".
        masks: (key, images [B, H, W, C]) -> which pixels are predicted, [B, H, W] bool,
            in the place of `region`.
        region: that is predicted: the middle "center" half of both sides, and the
            decoder makes nothing else; random "blocks" of an eighth of the side; or an
            "irregular" shape.
        area: share of the image that the random ones cover, blocks at most.
        overlap: width in pixels of the region's border that is not hidden.
        overlap_weight: of the squared error there.
        fill: of hidden pixels, for all channels or for each, in the units of the views:
            0 is the mean of views that are standardized by it.
        bottleneck: between encoder and decoder: "dense" of the whole grid, batch norm
            and leaky ReLU, or "channelwise", a dense layer a channel, whose grid the
            decoder goes on from.
        code_dim: width of the dense one.
        decoder_widths: channels of its grids, the coarsest first; each doubles.
        upsampling: "nearest" and a convolution, or "transposed", DCGAN's.
        tanh: whether predictions are squashed into [-1, 1].
        reconstruction_weight: of the mean squared error of the region; 1 for L2 alone.
        adversarial_weight: of the deceived discriminator; 0 leaves it out.
        discriminator_widths: channels of its strided convolutions.

    Raises:
        ValueError: if a setting is out of range.
    """
    checks.within("(0, 1)", area=area)
    checks.at_least(0, overlap=overlap, overlap_weight=overlap_weight)
    checks.at_least(0, reconstruction_weight=reconstruction_weight)
    checks.at_least(0, adversarial_weight=adversarial_weight)
    checks.at_least(1, code_dim=code_dim, decoder_widths=decoder_widths)
    checks.not_empty(decoder_widths=decoder_widths)
    if not reconstruction_weight + adversarial_weight > 0:
        raise ValueError(
            "reconstruction_weight = 0 and adversarial_weight = 0 leave no loss; the "
            "paper has config.method.reconstruction_weight = 0.999."
        )
    middle = region == "center" and masks is None
    grouped = {
        "groups": norm_groups(encoder),
        "dtype": getattr(encoder, "dtype", jnp.float32),
    }
    made: dict[str, nn.Module] = {"bottleneck": ChannelwiseDense(grouped["dtype"])}
    if bottleneck == "dense":
        made["bottleneck"] = mlp_after(
            encoder, (code_dim,), norm="batch", last_norm="affine"
        )
    if adversarial_weight:
        made["discriminator"] = Discriminator(widths=discriminator_widths, **grouped)

    def parts(shape: tuple[int, ...]) -> Mapping[str, nn.Module]:
        decoder = image_decoder(encoder, shape, decoder_widths, upsampling, tanh=tanh)
        return Network.of(encoder, heads, **made, decoder=decoder).parts

    def regions(key: Array, images: Array) -> Array:
        if masks is not None:
            return masks(key, images)
        count, height, width = images.shape[:3]
        if region == "center":
            return center_hole(count, height, width)
        draw = random_blocks if region == "blocks" else random_regions
        return draw(key, count, height, width, area)

    def cut(values: Array) -> Array:
        """What the decoder makes of images or masks [B, H, W, ...]."""
        height, width = values.shape[1:3]
        top, left = height // 4, width // 4
        inner = values[:, top : top + height // 2, left : left + width // 2]
        return inner if middle else values

    def read(grid: Array) -> Array:
        return grid.reshape(len(grid), -1) if bottleneck == "dense" else grid

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        keys = iter(jax.random.split(key, 4))
        truth = cut(image(views))
        modules = parts(truth.shape[1:])
        params, stats = Network(encoder=encoder).init(next(keys), views)

        def start(name: str, x: Array) -> Array:
            params[name], stats[name] = initialize(modules[name], next(keys), x)
            own = params[name], stats[name]
            return forward(modules[name], *own, x, train=False, whole=True)[0]

        features = forward(
            encoder, params["encoder"], stats["encoder"], views, train=False
        )[0]
        start("decoder", start("bottleneck", read(features.grid)))
        if adversarial_weight:
            start("discriminator", truth)
        return params, StatsState(stats)

    def predicted(
        params: Params, stats: PyTree, seen: Array, train: bool = True
    ) -> tuple[Array, PyTree]:
        modules = parts(cut(seen).shape[1:])
        stats = dict(stats)

        def apply(name: str, x: Array, whole: bool = True) -> Any:
            own = params[name], stats[name]
            out, stats[name] = forward(modules[name], *own, x, train=train, whole=whole)
            return out

        code = apply("bottleneck", read(apply("encoder", seen, whole=False).grid))
        code = nn.leaky_relu(code, SLOPE) if bottleneck == "dense" else code
        return apply("decoder", code), stats

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        whole = regions(key, views)
        hidden = eroded(whole, overlap)
        prediction, stats = predicted(params, state.stats, covered(views, hidden, fill))
        truth, inside = cut(views), cut(whole)
        weight = jnp.where(cut(hidden), 1.0, overlap_weight)
        error = region_error(prediction, truth, inside, weight)
        metrics = {
            "reconstruction_loss": error,
            # Of a region that stays filled as it was.
            "fill_loss": region_error(
                covered(truth, inside, fill), truth, inside, weight
            ),
        }
        value = reconstruction_weight * error
        if adversarial_weight:
            judge = parts(truth.shape[1:])["discriminator"]
            shown = jnp.where(inside[..., None], prediction, truth)

            def scores(own: Params, x: Array) -> Array:
                out, stats["discriminator"] = forward(
                    judge, own, stats["discriminator"], x, whole=True
                )
                return out

            before = stats["discriminator"]
            fixed = jax.lax.stop_gradient(params["discriminator"])
            deceiving = deceiving_loss(scores(fixed, shown))
            stats["discriminator"] = before
            own = params["discriminator"]
            # Batch norm sees the true ones and the made ones apart.
            true = scores(own, truth)
            false = scores(own, jax.lax.stop_gradient(shown))
            telling = discriminator_loss(true, false)
            value = value + adversarial_weight * deceiving
            metrics |= {
                "generator_loss": value,
                "adversarial_loss": deceiving,
                "discriminator_loss": telling,
                "discriminator_accuracy": ((true > 0).mean() + (false < 0).mean()) / 2,
            }
            value = value + telling
        return value, (StatsState(stats), jax.lax.stop_gradient(metrics))

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        truth = examples["view"]
        whole = regions(key, truth)
        seen = covered(truth, eroded(whole, overlap), fill)
        found, _ = predicted(params, state.stats, seen, train=False)
        if middle:
            spare = [(n // 4, n - n // 4 - n // 2) for n in truth.shape[1:3]]
            found = jnp.pad(found, ((0, 0), *spare, (0, 0)))
        filled = jnp.where(whole[..., None], found, truth)
        columns = {"input": seen, "prediction": filled, "truth": truth}
        caption = (
            f"Weights of the losses: reconstruction {reconstruction_weight:g}, "
            f"adversarial {adversarial_weight:g}."
        )
        shown = {name: ("view", values) for name, values in columns.items()}
        return {"Holes, filled in": Shown(shown, caption)}

    parts((8, 8, 3))  # Refuses unknown heads before anything is traced.
    kept = Network(encoder=encoder).evaluated()
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)


def covered(images: Array, hidden: Array, fill: tuple[float, ...]) -> Array:
    """Images [B, H, W, C] with the fill where pixels are hidden, [B, H, W] bool.

    Raises:
        ValueError: if the fill is neither one number nor one for each channel.
    """
    if len(fill) not in (1, images.shape[-1]):
        raise ValueError(
            f"fill = {fill} has {len(fill)} numbers for images of {images.shape[-1]} "
            "channels; give config.method.fill one, or one for each."
        )
    return jnp.where(hidden[..., None], jnp.asarray(fill, images.dtype), images)
