"""Strided convolutions over the samples of a wave.

The defaults are those of contrastive predictive coding (van den Oord et al., 2018,
arXiv:1807.03748): five layers that leave one vector for every 160 samples.
The paper has no norm; here a group norm over channels and time, or a channel norm,
which never looks at another step, follows each layer. `ContextEncoder` adds the
recurrent network that sums up the past.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.encoders.conv import KERNEL_INITS
from jax_ssl.nn.affine import Dense
from jax_ssl.nn.group_norm import ChannelNorm, GroupNorm


class WaveEncoder(nn.Module, kw_only=True):
    """Layers of one-dimensional convolution, group norm and ReLU.

    Attributes:
        widths: channels of each layer; multiples of `norm_groups`.
        kernels: samples that each layer looks at.
        strides: steps of each layer, at most its kernel.
        norm_groups: groups of channels of the norm; 0 for no norm.
        channel_norm: normalise every step by itself, over all of its channels, in the
            place of group norm, whose moments are those of the whole window. The
            convolutions then have a bias, which the norm does not take away.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (512, 512, 512, 512, 512)
    kernels: tuple[int, ...] = (10, 8, 4, 4, 4)
    strides: tuple[int, ...] = (5, 4, 2, 2, 2)
    norm_groups: int = 16
    channel_norm: bool = False
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has."""
        sizes = self.widths, self.kernels, self.strides
        self.widths, self.kernels, self.strides = map(tuple, sizes)
        if not self.widths or len({len(each) for each in sizes}) > 1:
            raise ValueError(
                f"widths = {self.widths}, kernels = {self.kernels} and strides = "
                f"{self.strides} must have the same length; give one of each for every "
                "layer."
            )
        checks.at_least(1, widths=self.widths, strides=self.strides)
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            checks.at_least(stride, kernels=kernel)
        checks.at_least(0, norm_groups=self.norm_groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps waves [B, T] to a grid [B, t, D], t about T over all strides.

        The pyramid holds the output of every layer.

        Raises:
            ValueError: if the input is no wave.
        """
        if x.ndim != 2:
            raise ValueError(
                f"the wave encoder reads waves [B, T], not {x.shape}; choose views of "
                "waves, such as two_windows."
            )
        x = x[..., None]
        levels = []
        layers = zip(self.widths, self.kernels, self.strides, strict=True)
        for i, (width, kernel, stride) in enumerate(layers):
            pad = -(-(kernel - stride) // 2)  # On both sides alike, as in torch's code.
            x = nn.Conv(
                width,
                (kernel,),
                (stride,),
                padding=((pad, pad),),
                use_bias=self.channel_norm or self.norm_groups == 0,
                kernel_init=KERNEL_INITS["he_fan_out"],
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            if self.channel_norm:
                x = ChannelNorm(dtype=self.dtype, name=f"norm{i}")(x, train=train)
            elif self.norm_groups:
                norm = GroupNorm(self.norm_groups, dtype=self.dtype, name=f"norm{i}")
                x = norm(x, train=train)
            x = nn.relu(x)
            levels.append(x)
        pooled = x.mean(1, dtype=jnp.float32)
        return Features(pooled, grid=x, pyramid=tuple(levels))


class GRU(nn.Module):
    """One layer of gated recurrent units over time, from a state of zeros.

    With x the input, h the state before, W and V the kernels of the parts "input" and
    "hidden", b and d their biases, each a row of three gates (r, z, n) in this order,
    the order of torch's `GRU`:
    r = σ(x W_r + b_r + h V_r + d_r), z = σ(x W_z + b_z + h V_z + d_z),
    n = tanh(x W_n + b_n + r (h V_n + d_n)), and the next state is (1 - z) n + z h.

    Parameters by torch's names: input/kernel [D, 3 H] is weight_ih_l0 transposed,
    input/bias [3 H] is bias_ih_l0, hidden/kernel [H, 3 H] is weight_hh_l0 transposed,
    hidden/bias [3 H] is bias_hh_l0.

    Attributes:
        width: H, of the state.
        dtype: of the products; the state is float32, and so are the parameters.
    """

    width: int
    dtype: ComputeDtype = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps sequences [B, t, D] to the states after each step, [B, t, H] float32."""
        init = _uniform(self.width)
        like: dict[str, Any] = {"kernel_init": init, "bias_init": init}
        like["dtype"] = self.dtype

        def step(hidden: nn.Module, state: Array, gates: Array) -> tuple[Array, Array]:
            own = jnp.split(hidden(state).astype(jnp.float32), 3, axis=-1)
            reset, update, new = jnp.split(gates, 3, axis=-1)
            reset, update = nn.sigmoid(reset + own[0]), nn.sigmoid(update + own[1])
            new = jnp.tanh(new + reset * own[2])
            state = (1 - update) * new + update * state
            return state, state

        # That of the input for all steps at once: only the state must wait.
        gates = Dense(3 * self.width, **like, name="input")(x).astype(jnp.float32)
        over_time = nn.scan(
            step,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
        )
        hidden = nn.Dense(3 * self.width, **like, name="hidden")
        first = jnp.zeros((len(x), self.width), jnp.float32)
        return over_time(hidden, first, gates)[1]


class ContextEncoder(WaveEncoder, kw_only=True):
    """A wave encoder and a GRU that sums up its codes, as in the same paper.

    What it hands on are the contexts c, as the paper judges them. The codes z are the
    last but one level of the pyramid, the contexts its last.

    Attributes:
        context: H, width of the GRU.
    """

    context: int = 256

    def __post_init__(self) -> None:
        """Refuses settings that no network has."""
        checks.at_least(1, context=self.context)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps waves [B, T] to contexts: their mean [B, H], and each in the grid."""
        codes = super().__call__(x, train=train)
        contexts = GRU(self.context, self.dtype, name="gru")(codes.grid)
        return Features(
            contexts.mean(1, dtype=jnp.float32),
            grid=contexts.astype(self.dtype),
            pyramid=(*codes.pyramid, contexts.astype(self.dtype)),
        )


def codes_and_contexts(features: Features) -> tuple[Array, Array]:
    """The codes z [B, t, D] and contexts c [B, t, H] of a `ContextEncoder`.

    Raises:
        ValueError: if another encoder has made the features.
    """
    levels = features.pyramid
    if len(levels) < 2 or len({level.shape[:-1] for level in levels[-2:]}) > 1:
        raise ValueError(
            "the encoder makes no codes and contexts of a sequence; choose "
            "config.encoder.name = 'wave_gru'."
        )
    return levels[-2], levels[-1]


def _uniform(width: int) -> nn.initializers.Initializer:
    """Torch's first weights of recurrent layers: uniform within 1 / sqrt(width)."""
    end = width**-0.5
    draw = nn.initializers.uniform(2 * end)
    return lambda *args, **settings: draw(*args, **settings) - end
