"""SimCLR (Chen et al., 2020, arXiv:2002.05709; v2: arXiv:2006.10029).

Two augmented views of every image are pulled together, and pushed away from all
other views in the global batch, by the NT-Xent loss on a projection head.

Views: [B, 2, ...] float.
"""

import math

import flax.linen as nn

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses.contrastive import Form, check_form, nt_xent_with_accuracy
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState


def simclr(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    temperature: float = 0.1,
    hidden_dim: int = 2048,
    output_dim: int = 128,
    head_layers: int = 2,
    scale: float = 1.0,
    similarity: Form = "auto",
    decoupled: bool = False,
) -> Method:
    """Builds SimCLR around `encoder`; settings as in sections 2.1 and 2.2.

    The projector follows the released code: every layer is a dense map without bias,
    weights drawn from N(0, 0.01²), then batch norm; the last norm has no offset and no
    ReLU follows it. Its batch-norm groups are the encoder's.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector.
        views: one example -> two views of it.
        heads: modules in the place of those made here, by the name of their part.
        temperature: τ of equation 1, positive; 0.1 for ImageNet (section 5.1), 0.5 for
            CIFAR-10 (appendix B.9).
        hidden_dim: width of the projector's inner layers.
        output_dim: D, width of the projections.
        head_layers: 2 for SimCLR, 3 for the deeper head of SimCLR v2.
        scale: multiplies the loss, which is the mean over all 2B rows. The released
            code's loss is the sum of two means over B rows, which is a scale of 2. It
            counts where no trust ratio divides it out again: for the rates of biases
            and norms, and for weight decay beside the gradient.
        similarity: "gather", "ring" or "auto", the form of `nt_xent`. It decides over
            memory and communication and changes nothing else.
        decoupled: the positive is left out of the sum over candidates, as in DCL (Yeh
            et al., 2022, arXiv:2110.06848) and not in SimCLR; meant for batches of a
            few hundred. The loss may then be negative.

    Raises:
        ValueError: if the temperature or the scale is not positive, there is no layer,
            or the similarity has no such form.
    """
    checks.positive(temperature=temperature, scale=scale)
    checks.at_least(1, head_layers=head_layers)
    check_form(similarity, "similarity")
    projector = mlp_after(
        encoder,
        (hidden_dim,) * (head_layers - 1) + (output_dim,),
        norm="batch",
        last_norm="scale",
        use_bias=False,
        kernel_init=nn.initializers.normal(0.01),
    )
    net = Network.of(encoder, heads, projector=projector)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        checks.several_rows(len(views), "simclr")
        # One pass: batch norm sees both views, as in the reference implementation.
        out, stats = net.together(params, state.stats, views)
        value, accuracy = nt_xent_with_accuracy(
            out["projector"],
            temperature=temperature,
            form=similarity,
            decoupled=decoupled,
        )
        return scale * value, (StatsState(stats), {"contrastive_accuracy": accuracy})

    def chance(batch_size: int) -> float:
        return scale * math.log(2 * batch_size - (2 if decoupled else 1))

    kept = net.evaluated("projector", chance=chance)
    return Method(views=views, init=net.init_pair, loss=loss, **kept)
