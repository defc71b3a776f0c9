"""BiGAN, adversarial feature learning (Donahue et al., 2017, arXiv:1605.09782).

A generator makes images of codes, an encoder codes of images, and a discriminator is to
tell the encoder's pairs from the generator's. Both deceive it best where they invert
each other. BigBiGAN (Donahue & Simonyan, 2019, arXiv:1907.02544) is `unary=True,
objective="hinge", prior="normal"` with a faster encoder.

Views: [B, H, W, C] float.
"""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Health, Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree
from jax_ssl.encoders.dcgan import Discriminator
from jax_ssl.losses.adversarial import (
    Adversarial,
    deceiving_loss,
    discriminator_loss,
)
from jax_ssl.nn.apply import along_rows, forward, initialize
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.upsampling import Upsampling, image_decoder
from jax_ssl.nn.views import image

SHOWN = 4  # Columns of images made of random codes.


def bigan(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    latent_dim: int = 200,
    prior: Literal["uniform", "normal"] = "uniform",
    objective: Adversarial = "logistic",
    unary: bool = False,
    regression_weight: float = 0.0,
    generator_widths: tuple[int, ...] = (512, 256, 128, 64),
    upsampling: Upsampling = "transposed",
    tanh: bool = True,
    discriminator_widths: tuple[int, ...] = (64, 128, 256, 512),
    hidden_dim: int = 1024,
) -> Method:
    """Builds BiGAN around `encoder`.

    The loss is that of both players together, each the mean over true and made pairs,
    ln 2 where nothing is told apart. No gradient of one reaches the other's parameters,
    and all move at once; the parts "encoder", "latent", "generator" and "discriminator"
    of the params can have optimizers of their own in `config.optimizer.groups`. That
    the loss stays near 2 ln 2 is no failure: it is where the game should end.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the rest.
        views: one example -> one image, in [-1, 1] where `tanh` is on.
        heads: modules in the place of those made here, by the name of their part:
            "latent", a linear map of the features to the code, "generator" and
            "discriminator".
        latent_dim: width of the code.
        prior: of the codes: "uniform" in [-1, 1], or "normal".
        objective: "logistic", or BigBiGAN's "hinge".
        unary: the discriminator also scores images and codes by themselves, and its
            loss is the sum over the three scores (BigBiGAN).
        regression_weight: of the mean squared distance of a code from what the encoder
            says of its image, for the encoder alone; the paper's latent regressor.
        generator_widths: channels of its grids, the coarsest first; each doubles.
        upsampling: "transposed", DCGAN's, or "nearest" and a convolution.
        tanh: whether made images are squashed into [-1, 1].
        discriminator_widths: channels of its strided convolutions.
        hidden_dim: width of its layers that read the code.

    Raises:
        ValueError: if a setting is out of range.
    """
    checks.at_least(1, latent_dim=latent_dim, generator_widths=generator_widths)
    checks.not_empty(generator_widths=generator_widths)
    checks.at_least(0, regression_weight=regression_weight)
    latent = mlp_after(encoder, (latent_dim,), norm="none")

    def parts(shape: tuple[int, ...]) -> Mapping[str, nn.Module]:
        generator = image_decoder(
            encoder, shape, generator_widths, upsampling, tanh=tanh
        )
        discriminator = Discriminator(
            widths=discriminator_widths,
            hidden_dim=hidden_dim,
            unary=unary,
            groups=norm_groups(encoder),
            dtype=getattr(encoder, "dtype", jnp.float32),
        )
        return Network.of(
            encoder,
            heads,
            latent=latent,
            generator=generator,
            discriminator=discriminator,
        ).parts

    def inference(shape: tuple[int, ...]) -> Network:
        return Network(encoder=encoder, latent=parts(shape)["latent"])

    def coded(
        params: Params, stats: PyTree, images: Array, train: bool = True
    ) -> tuple[Array, PyTree]:
        net = inference(images.shape[1:])
        own = net.copy(params, stats, until="latent")
        out, moved = net(own.params, own.stats, images, train=train)
        return out["latent"], {**stats, **moved}

    def made(
        params: Params, stats: PyTree, z: Array, shape: tuple[int, ...], train: bool
    ) -> tuple[Array, PyTree]:
        own = params["generator"], stats["generator"]
        return forward(parts(shape)["generator"], *own, z, train=train, whole=True)

    def drawn(key: Array, rows: int) -> Array:
        if prior == "normal":
            return jax.random.normal(key, (rows, latent_dim))
        return jax.random.uniform(key, (rows, latent_dim), minval=-1.0)

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        keys = jax.random.split(key, 3)
        shape, z = image(views).shape[1:], jnp.zeros((1, latent_dim))
        params, stats = inference(shape).init(keys[0], views)
        inputs = {"generator": (z,), "discriminator": (views[:1], z)}
        for (name, given), own_key in zip(inputs.items(), keys[1:], strict=True):
            module = parts(shape)[name]
            params[name], stats[name] = initialize(module, own_key, *given)
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        shape, z = views.shape[1:], along_rows(drawn(key, len(views)))
        code, stats = coded(params, state.stats, views)
        fakes, stats["generator"] = made(params, state.stats, z, shape, True)
        judge, fixed = parts(shape)["discriminator"], jax.lax.stop_gradient(params)

        def scores(own: Params, stats: PyTree, x: Array, z: Array) -> tuple:
            return forward(judge, own["discriminator"], stats, x, z, whole=True)

        # Encoder and generator learn through the discriminator, which stays as it is.
        own = state.stats["discriminator"]
        of_true, _ = scores(fixed, own, views, code)
        of_made, _ = scores(fixed, own, fakes, z)
        deceiving = deceiving_loss(-of_true, objective)
        deceiving = (deceiving + deceiving_loss(of_made, objective)) / 2
        # Batch norm sees the true pairs and the made ones apart.
        still = jax.lax.stop_gradient((code, fakes))
        true, own = scores(params, own, views, still[0])
        false, stats["discriminator"] = scores(params, own, still[1], z)
        telling = discriminator_loss(true, false, objective) / 2
        value = deceiving + telling
        metrics = {
            "generator_loss": deceiving,
            "discriminator_loss": telling,
            "discriminator_accuracy": (
                (true.sum(-1) > 0).mean() + (false.sum(-1) < 0).mean()
            )
            / 2,
        }
        if regression_weight:
            again, _ = coded(params, state.stats, still[1])
            distance = jnp.square(again - z).mean()
            value = value + regression_weight * distance
            metrics["latent_distance"] = distance
        return value, (StatsState(stats), jax.lax.stop_gradient(metrics))

    def project(params: Params, state: StatsState, x: Array) -> Array:
        return coded(params, state.stats, x, train=False)[0]

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        images = examples["view"]
        shape = images.shape[1:]

        def picture(z: Array) -> tuple[str, Array]:
            return "view", made(params, state.stats, along_rows(z), shape, False)[0]

        random = {
            f"of random codes: {i + 1}": picture(drawn(own_key, len(images)))
            for i, own_key in enumerate(jax.random.split(key, SHOWN))
        }
        code = project(params, state, images)
        columns = {"x": ("view", images), "G(E(x))": picture(code), **random}
        caption = "The generator on the encoder's code of an image, and on drawn codes."
        return {"Images of codes": Shown(columns, caption)}

    parts((8, 8, 3))  # Refuses unknown heads before anything is traced.
    kept = Network(encoder=encoder).evaluated()
    kept["health"] = Health(project)
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
