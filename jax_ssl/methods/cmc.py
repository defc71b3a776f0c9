"""CMC, contrastive multiview coding (Tian et al., 2020, arXiv:1906.05849).

Two networks that share nothing see the lightness and the colours of the same crop. The
feature of each is to be found among what the other one has said of many images. Both
features together are the representation.

Views: {"image": [B, H, W, 3] float, sRGB in [0, 1], not standardized; "index": [B]
int32, row in the data set}.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.fields import Fields
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.precise import matmul
from jax_ssl.core.types import Array, Batch, Metrics, Params, Views
from jax_ssl.losses.contrastive import Form, check_form, info_nce_in_batch
from jax_ssl.losses.instance import bank_contrast, contrast_chance, new_bank, remember
from jax_ssl.methods.colorization import colored, not_standardized, painted
from jax_ssl.methods.split_brain import SplitEncoder
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.views import one_and
from jax_ssl.ops.lab import rgb_to_lab
from jax_ssl.ops.normalize import l2_normalize

# A half and the one in whose memories it looks for its image.
OTHER = {"lightness": "color", "color": "lightness"}


class CMCState(NamedTuple):
    """State that CMC carries beside its params; the dicts are empty without banks.

    Attributes:
        stats: running statistics of both halves.
        banks: by half, [N or a few more, D] unit features, by row of the data set.
        partitions: by half, [] Z of its features against the other half's bank; 0 until
            the first step has estimated it.
    """

    stats: Any
    banks: dict[str, Array]
    partitions: dict[str, Array]


class SplitProjector(nn.Module):
    """An MLP for each half of the features, whose outputs have unit length.

    Attributes:
        mlp: what each of them is.
    """

    mlp: nn.Module

    def setup(self) -> None:
        """Makes two MLPs with variables of their own."""
        self.lightness = self.mlp.clone()
        self.color = self.mlp.clone()

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [..., 2 F] to the features of both halves in a row, [..., 2 D]."""
        of_lightness, of_color = jnp.split(x, 2, axis=-1)
        outputs = (
            self.lightness(of_lightness, train=train),
            self.color(of_color, train=train),
        )
        return jnp.concatenate([l2_normalize(z) for z in outputs], axis=-1)


def cmc(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    heads: Heads | None = None,
    view: ViewFn | None = None,
    fields: Fields | None = None,
    *,
    objective: Literal["nce", "softmax", "in_batch"] = "nce",
    temperature: float = 0.07,
    num_negatives: int = 16384,
    momentum: float = 0.5,
    output_dim: int = 128,
    similarity: Form = "auto",
) -> Method:
    """Builds CMC of the lightness and the colours, with two copies of `encoder`.

    Features are linear maps of the encoders', at unit length. Each half has a memory
    bank as in `npid`. A half's feature is contrasted with the *other* half's memories
    of the same image and of others, which are the same images for both directions, and
    the two losses are added. On a mesh with "fsdp" each device of that axis holds its
    share of both banks.

    Args:
        encoder: one half; returns `Features`. Evaluation keeps both, reads RGB, and
            gets the pooled features, grids and pyramids of both halves in a row.
        views: one example -> {"image": [H, W, 3] in [0, 1], "index": []}; no step may
            standardize it.
        num_examples: n, images of the data set.
        heads: modules in the place of those made here, by the name of their part.
        view: the evaluation's.
        fields: of the examples, to try that view on.
        objective: "nce", noise-contrastive estimation with a constant Z for each
            direction, estimated in the first step; "softmax" over the image and the
            same noise; or "in_batch", InfoNCE among the images of the global batch,
            without banks.
        temperature: τ, positive.
        num_negatives: m, images drawn as noise for each row; not read by "in_batch".
            Where m is not far below n, the image is often noise to itself.
        momentum: weight of the old memory, in [0, 1); not read by "in_batch".
        output_dim: D, width of a half's feature.
        similarity: "gather", "ring" or "auto", the form of "in_batch".

    Raises:
        ValueError: if a number is out of its range, or the views are standardized.

    Note:
        a and b are read in units of 50; the released code first subtracts the middles
        of their ranges, 6.0 and -6.7, and divides by half their ranges, 92.2 and 101.2.
    """
    checks.one_of(("nce", "softmax", "in_batch"), objective=objective)
    checks.positive(temperature=temperature)
    checks.at_least(1, num_negatives=num_negatives)
    checks.at_least(2, num_examples=num_examples)
    checks.within("[0, 1)", momentum=momentum)
    check_form(similarity, "similarity")
    not_standardized(views, view, fields)
    mlp = mlp_after(encoder, (output_dim,), norm="none", kernel_init=TORCH_UNIFORM)
    net = Network.of(SplitEncoder(encoder), heads, projector=SplitProjector(mlp))

    def halves(projected: Array) -> dict[str, Array]:
        return dict(zip(OTHER, jnp.split(projected, 2, axis=-1), strict=True))

    def init(key: Array, views: Views) -> tuple[Params, CMCState]:
        images, _ = one_and("index", views, "cmc")
        key, *bank_keys = jax.random.split(key, 3)
        params, stats = net.init(key, colored(images))
        if objective == "in_batch":
            return params, CMCState(stats, {}, {})
        banks = {
            half: new_bank(own, num_examples, output_dim)
            for half, own in zip(OTHER, bank_keys, strict=True)
        }
        return params, CMCState(stats, banks, {half: jnp.zeros(()) for half in OTHER})

    def loss(
        params: Params, state: CMCState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[CMCState, Metrics]]:
        del step
        index = views["index"]
        out, stats = net(params, state.stats, views["image"])
        v = halves(out["projector"])
        losses, metrics = {}, {}
        banks, partitions = dict(state.banks), dict(state.partitions)
        slots = jax.random.randint(key, (len(index), num_negatives), 0, num_examples)
        for half, other in OTHER.items():
            if objective == "in_batch":
                losses[half], accuracy = info_nce_in_batch(
                    v[half], v[other], temperature=temperature, form=similarity
                )
            else:
                losses[half], terms = bank_contrast(
                    objective,
                    v[half],
                    index,
                    slots,
                    state.banks[other],
                    partition=jax.lax.stop_gradient(state.partitions[half]),
                    num_examples=num_examples,
                    temperature=temperature,
                )
                accuracy = terms["contrastive_accuracy"]
                partitions[half] = terms["partition"]
                banks[half] = remember(
                    state.banks[half], index, v[half], momentum=momentum
                )
            metrics[f"{half}_loss"] = jax.lax.stop_gradient(losses[half])
            metrics[f"{half}_accuracy"] = accuracy
        value = losses["lightness"] + losses["color"]
        return value, (CMCState(stats, banks, partitions), metrics)

    def shows(
        params: Params, state: CMCState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        images = examples["view"]
        lab = rgb_to_lab(images)
        out, _ = net(params, state.stats, images, train=False)
        v = halves(out["projector"])
        scores = matmul(v["lightness"], v["color"].T)  # [n, n]
        even = jnp.full_like(lab[..., :1], 70.0)
        color = painted(even, lab[..., 1:])
        lightness = painted(lab, jnp.zeros((len(lab), 1, 1, 2)))
        columns = {
            "image": images,
            "lightness: seen": lightness,
            "lightness: finds": color[scores.argmax(1)],
            "colours: seen": color,
            "colours: find": lightness[scores.argmax(0)],
        }
        caption = (
            "What each half sees, and what it finds with its feature: that one of "
            f"these {len(images)} images whose other half has the nearest feature, its "
            "own where the network is right. Colours are shown at an even lightness "
            "of 70."
        )
        pictures = {name: ("view", each) for name, each in columns.items()}
        return {"Lightness and colours, matched": Shown(pictures, caption)}

    def chance(batch_size: int) -> float:
        if objective == "in_batch":
            return 2 * math.log(batch_size)
        return 2 * contrast_chance(objective, num_negatives)

    kept = net.evaluated("projector", chance=chance)
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
