"""AMDIM, augmented multiscale deep infomax (Bachman et al., 2019, arXiv:1906.00910).

The feature of a whole view must tell which small parts of another view come from the
same image, on two scales, and a part must tell it as well.

Views: [B, 2, H, W, C] float.
"""

import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Features, Metrics, Params, PyTree
from jax_ssl.losses.infomax import places, places_nce
from jax_ssl.nn.apply import along_rows
from jax_ssl.nn.heads import PlaceHead
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.views import pair

LOCAL = ("fine", "coarse")


def amdim(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    sides: tuple[int, int] = (7, 5),
    output_dim: int = 1024,
    batch_norm: bool = False,
    clip: float = 20.0,
    score_penalty: float = 0.05,
) -> Method:
    """Builds AMDIM around `encoder`; settings of the released code.

    Three pairs of scales are compared: the whole with the fine grid, the whole with the
    coarse grid, and one random cell of the coarse grid with all of its cells. Each
    takes the first from one view and the second from the other, both ways round. The
    loss is the sum of the three, and of the penalty on the scores of each. The released
    code trains classifiers on detached features beside it; here that is left to
    `config.evals`.

    Args:
        encoder: returns `Features` whose pooled ones are compared as they are, and
            whose pyramid has grids of both sides; `encoders.amdim` is the paper's.
        views: one example -> [2, H, W, C].
        heads: modules in the place of those made here, by the name of their part:
            "fine" and "coarse", which map the cells of the two grids.
        sides: of the fine and of the coarse grid, in cells; of several levels of the
            pyramid with that side the last.
        output_dim: width of what is compared; that of the encoder's pooled features.
        batch_norm: inside of the heads; one ends them in any case.
        clip: c; scores are c tanh(score / c).
        score_penalty: λ of the mean squared score before the clip.

    Raises:
        ValueError: if a number is out of its range.
    """
    checks.at_least(1, sides=sides, output_dim=output_dim)
    checks.positive(clip=clip)
    checks.at_least(0, score_penalty=score_penalty)
    head = PlaceHead(
        output_dim,
        batch_norm=batch_norm,
        groups=norm_groups(encoder),
        dtype=getattr(encoder, "dtype", jnp.float32),
    )
    net = Network.of(encoder, heads, fine=head, coarse=head.copy())
    fine, coarse = (side * side for side in sides)
    # What is compared with what, as in the names of metrics.
    pairs = {
        f"1_to_{sides[0]}": ("global", "fine"),
        f"1_to_{sides[1]}": ("global", "coarse"),
        f"{sides[1]}_to_{sides[1]}": ("cell", "coarse"),
    }

    def grids(features: Features) -> dict[str, Array]:
        """The two levels of the pyramid, [n, h, w, C], by the name of their part."""
        if features.pooled.shape[-1] != output_dim:
            raise ValueError(
                f"output_dim = {output_dim} must be the number of the encoder's pooled "
                f"features, {features.pooled.shape[-1]}, which are compared themselves."
            )
        found = {level.shape[1:3]: level for level in features.pyramid}
        for side in sides:
            if (side, side) not in found:
                there = [shape[0] for shape in found]
                raise ValueError(
                    f"sides = {sides}: for views of this size the encoder has grids of "
                    f"{there} cells on a side; choose two of these."
                )
        return {
            name: found[side, side] for name, side in zip(LOCAL, sides, strict=True)
        }

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        first = pair(views)[:, 0]
        front = Network(encoder=encoder)
        key, own = jax.random.split(key)
        params, stats = front.init(own, first)
        seen, _ = jax.eval_shape(lambda: front(params, stats, first, train=False))
        for name, level in grids(seen["encoder"]).items():
            key, own = jax.random.split(key)
            cell = jnp.zeros((1, *level.shape[1:]))
            more = Network(**{name: net.parts[name]}).init(own, cell)
            params, stats = {**params, **more[0]}, {**stats, **more[1]}
        return params, StatsState(stats)

    def scales(
        params: Params, stats: PyTree, views: Array, *, train: bool = True
    ) -> tuple[dict[str, Array], PyTree]:
        """Global [B, 2, D], fine and coarse [B, 2, L, D] of views [B, 2, ...]."""
        each = []
        for v in range(2):
            out, stats = net(
                {"encoder": params["encoder"]}, stats, views[:, v], train=train
            )
            found = {"global": out["encoder"].pooled}
            for name, level in grids(out["encoder"]).items():
                own = {name: params[name]}
                local, stats = net(own, stats, level, train=train)
                found[name] = local[name].reshape(len(views), -1, output_dim)
            each.append(found)
        return jax.tree.map(lambda *x: jnp.stack(x, axis=1), *each), stats

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        found, stats = scales(params, state.stats, views)
        cell = along_rows(jax.random.randint(key, (len(views), 2), 0, coarse))
        found["cell"] = jnp.take_along_axis(
            found["coarse"], cell[:, :, None, None], axis=2
        )[:, :, 0]
        value, squares, metrics = jnp.zeros(()), jnp.zeros(()), {}
        for name, (source, target) in pairs.items():
            judged = places_nce(found[source], found[target], clip=clip)
            value, squares = value + judged.loss, squares + judged.square
            metrics[f"accuracy_{name}"] = judged.accuracy
        metrics["mean_squared_score"] = squares / len(pairs)
        metrics = jax.lax.stop_gradient(metrics)
        return value + score_penalty * squares, (StatsState(stats), metrics)

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        rows = {name: x for name, x in examples.items() if name != "view"}
        n = len(examples["view"])
        seen = jax.vmap(views)(jax.random.split(key, n), rows)
        found, _ = scales(params, state.stats, seen, train=False)
        columns: dict[str, tuple[str, Array]] = {
            "views: first": ("view", seen[:, 0]),
            "views: second": ("view", seen[:, 1]),
        }
        for name, side in zip(LOCAL, sides, strict=True):
            judged = places(found["global"], found[name], 0, clip=clip)
            gain = 1 - judged.loss / math.log1p((n - 1) * side * side)
            large = jnp.clip(gain, 0, 1).reshape(n, 2, side, side, 1)
            large = large.repeat(8, 2).repeat(8, 3)
            large = jnp.broadcast_to(large, (*large.shape[:-1], 3))
            columns[f"{side} x {side}: in the second"] = "image", large[:, 0]
            columns[f"{side} x {side}: in the first"] = "image", large[:, 1]
        caption = (
            "How sure the feature of one view is that a place of the other view is of "
            f"its own image and not of {n - 1} others: black by chance or worse, white "
            "for certain, in between by the loss."
        )
        return {"Places found by the whole": Shown(columns, caption)}

    def chance(batch_size: int) -> float:
        others = batch_size - 1
        return math.log1p(others * fine) + 2 * math.log1p(others * coarse)

    kept = net.evaluated(chance=chance)
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
