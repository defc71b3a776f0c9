"""Decoders from the pyramid of an encoder to disparities at several scales."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.method import Load
from jax_ssl.core.types import Array, Features, Params, PyTree, State, Variables
from jax_ssl.nn.network import Network
from jax_ssl.nn.norm import BatchNorm
from jax_ssl.nn.upsampling import UpConv
from jax_ssl.ops.conv import conv_general_dilated
from jax_ssl.ops.scales import bilinear_resize

Activation: TypeAlias = Literal["relu", "elu"]
Padding: TypeAlias = Literal["zero", "reflect"]
Doubling: TypeAlias = Literal["late", "nearest", "transposed"]
Norm: TypeAlias = Literal["none", "batch"]

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {"relu": nn.relu, "elu": nn.elu}
XAVIER = nn.initializers.xavier_uniform()


def convolution(
    x: Array,
    width: int,
    size: int = 3,
    *,
    name: str,
    stride: int = 1,
    padding: Padding = "zero",
    dtype: Any = jnp.float32,
) -> Array:
    """A square convolution with bias, inside of a compact method.

    Args:
        x: [B, h, w, C].
        width: channels of the output.
        size: side of the kernel, odd.
        name: of the layer.
        stride: cells of the input to one of the output; an odd side is halved upwards.
        padding: what lies outside of the grid.
        dtype: compute dtype.

    Returns:
        [B, h / stride, w / stride, width].
    """
    reach = size // 2
    if padding == "reflect" and reach:
        # A single row has nothing that could be reflected.
        mode = "reflect" if min(x.shape[1:3]) > reach else "edge"
        x = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode=mode)
        reach = 0
    layer = nn.Conv(
        width,
        (size, size),
        (stride, stride),
        padding=reach,
        kernel_init=XAVIER,
        dtype=dtype,
        conv_general_dilated=conv_general_dilated,
        name=name,
    )
    return layer(x)


def normalized(
    x: Array, norm: Norm, *, groups: int, train: bool, name: str, dtype: Any
) -> Array:
    """Grids [B, h, w, C] after batch norm in groups of the batch, or as they are."""
    if norm == "none":
        return x
    return BatchNorm(groups=groups, dtype=dtype, name=name)(x, train=train)


class DisparityDecoder(nn.Module, kw_only=True):
    """Doubles the coarsest grid again and again, and joins the pyramid's others to it.

    The default is the decoder of Monodepth2 (Godard et al., 2019, arXiv:1806.01260,
    appendix). That of SfMLearner is `doubling="transposed", feedback=True,
    activation="relu", padding="zero", scale=10.0, offset=0.01`, that of Monodepth
    `doubling="nearest", feedback=True, padding="zero", scale=0.3, num_maps=2`.

    Attributes:
        widths: channels of each level, the coarsest first; each doubles the sides, the
            last one makes those of the image.
        doubling: "late", a convolution and then every cell four times; "nearest", every
            cell four times and then a convolution; or "transposed", one of 4 x 4 taps.
        feedback: whether a level reads the maps of the level below, interpolated.
        num_scales: levels that make maps, the finest ones.
        num_maps: of each scale.
        scale: a map is `offset` + `scale` times a sigmoid.
        offset: the least value of a map.
        activation: after every convolution but those that make the maps.
        padding: what lies outside of the grids.
        norm: "none", or "batch" before every activation.
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and maps are float32.

    Note:
        The transposed convolution has 4 x 4 taps, as in DispNet; SfMLearner's has 3.
    """

    widths: tuple[int, ...] = (256, 128, 64, 32, 16)
    doubling: Doubling = "late"
    feedback: bool = False
    num_scales: int = 4
    num_maps: int = 1
    scale: float = 1.0
    offset: float = 0.0
    activation: Activation = "elu"
    padding: Padding = "reflect"
    norm: Norm = "none"
    groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pyramid: Sequence[Array], *, train: bool = False
    ) -> tuple[Array, ...]:
        """Maps of a pyramid's grids [B, h, w, C], from fine to coarse.

        Of grids of one size the last is read. A skip that is not twice as large as the
        grid below, as of a side that could not be halved, decides the size.

        Returns:
            `num_scales` arrays [B, h, w, num_maps] float32, the finest first; each is
            half as fine as the one before.

        Raises:
            ValueError: if there is no pyramid, or more grids than widths.
        """
        x, *skips = distinct(pyramid)
        if len(skips) > len(self.widths):
            raise ValueError(
                f"decoder_widths = {self.widths} doubles {len(self.widths)} times, and "
                f"the encoder's pyramid halves {len(skips)} times or more; give one "
                "width for each halving."
            )

        def conv(x: Array, width: int, name: str) -> Array:
            settings = {"padding": self.padding, "dtype": self.dtype, "name": name}
            return convolution(x, width, **settings)

        def act(x: Array, name: str) -> Array:
            settings = {"train": train, "dtype": self.dtype, "name": f"{name}_norm"}
            y = normalized(x, self.norm, groups=self.groups, **settings)
            return ACTIVATIONS[self.activation](y)

        maps: list[Array] = []
        for i, width in enumerate(self.widths):
            if self.doubling == "late":
                x = doubled(act(conv(x, width, f"up{i}"), f"up{i}"))
            else:
                up = UpConv(
                    width, self.doubling, True, self.dtype, XAVIER, name=f"up{i}"
                )
                x = act(up(x), f"up{i}")
            joined = [x]
            if i < len(skips):
                joined = [fitted(x, skips[i]), skips[i].astype(x.dtype)]
            if self.feedback and maps:
                finer = bilinear_resize(maps[-1], *joined[0].shape[1:3])
                joined.append(finer.astype(x.dtype))
            x = conv(jnp.concatenate(joined, axis=-1), width, f"join{i}")
            x = act(x, f"join{i}")
            if len(self.widths) - i <= self.num_scales:
                raw = conv(x, self.num_maps, f"map{i}").astype(jnp.float32)
                maps.append(self.offset + self.scale * nn.sigmoid(raw))
        return tuple(reversed(maps))


def distinct(pyramid: Sequence[Array]) -> list[Array]:
    """The grids of a pyramid from coarse to fine, of those of one size the last.

    Raises:
        ValueError: if there are none.
    """
    if not len(pyramid):
        raise ValueError(
            "the encoder has no pyramid, which a decoder of depth reads; choose one "
            "with stages, such as config.encoder.name = 'resnet18' or 'dispnet'."
        )
    by_size = {grid.shape[1:3]: grid for grid in pyramid}
    return [by_size[size] for size in sorted(by_size)]


def doubled(x: Array) -> Array:
    """Every cell of grids [B, h, w, C] four times, [B, 2 h, 2 w, C]."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def fitted(x: Array, like: Array) -> Array:
    """Grids [B, h, w, C] cut, or their last cells repeated, to the sides of `like`."""
    height, width = like.shape[1:3]
    down, across = max(0, height - x.shape[1]), max(0, width - x.shape[2])
    border = ((0, 0), (0, down), (0, across), (0, 0))
    return jnp.pad(x, border, mode="edge")[:, :height, :width]


class PyramidNetwork(Network):
    """An encoder, and a decoder that reads its pyramid: images to maps."""

    @staticmethod
    def handed_on(output: Any) -> Any:
        """What the next part reads: the grids of all scales, or the output itself."""
        return output.pyramid if isinstance(output, Features) else output

    def maps(
        self, params: Params, stats: PyTree, images: Array, *, train: bool = True
    ) -> tuple[tuple[Array, ...], PyTree]:
        """What the decoder makes of images [B, H, W, C], and the next stats of all.

        Returns:
            (maps of all scales as of `DisparityDecoder`, stats).

        Raises:
            ValueError: if the finest maps have not the sides of the images.
        """
        own = self.copy(params, stats, until="decoder")
        out, moved = self(own.params, own.stats, images, train=train)
        maps = out["decoder"]
        if maps[0].shape[1:3] != images.shape[1:3]:
            raise ValueError(
                f"the decoder ends at {maps[0].shape[1]} x {maps[0].shape[2]} pixels, "
                f"and the images have {images.shape[1]} x {images.shape[2]}; give one "
                "of config.method.decoder_widths for each time that the encoder halves "
                "the images, and images of even sides."
            )
        return maps, {**stats, **moved}

    def kept(self) -> dict[str, Any]:
        """What is judged and kept, as keywords of `Method`: the whole as "depth" too.

        The method's state must hold `stats`.
        """

        def take(params: Params, state: State) -> Variables:
            return self.copy(params, state.stats, until="decoder").variables()

        def fill(
            params: Params, state: State, variables: Variables
        ) -> tuple[Params, State]:
            own = self.copy(params, state.stats, until="decoder").holding(variables)
            stats = {**state.stats, **own.stats}
            return {**params, **own.params}, state._replace(stats=stats)

        kept = self.evaluated()
        kept["exports"]["depth"] = take
        kept["loads"]["depth"] = Load(take, fill)
        return kept
