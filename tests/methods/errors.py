"""How far whole methods are from their float64 references: loss, gradient, state."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Features
from jax_ssl.methods import METHODS
from tests.methods.beginnings import begun
from tests.references import methods as reference

B = 8
STEP = 3
KEY = jax.random.key(1)
MOMENTUM = 0.9  # Of teachers.


class Linear(nn.Module):
    """The encoder of the comparison: its work is float64's to follow, not to test."""

    width: int = 8

    @nn.compact
    def __call__(self, x, *, train):
        del train
        x = nn.relu(nn.Dense(self.width, name="dense")(x.reshape(len(x), -1)))
        return Features(pooled=x, grid=x[:, None, None])


@dataclass(frozen=True)
class Comparison:
    """A method's settings, its reference with those of it, and what it draws."""

    method: str
    settings: Mapping[str, Any]
    reference: Callable[..., Any]
    drawn: Callable[[], Any] = lambda: None
    views: Callable[[np.random.Generator], Any] = field(
        default=lambda rng: rng.uniform(size=(B, 2, 3, 3, 1))
    )
    wires: Mapping[str, Any] = field(default_factory=dict)


def one_view(rng):
    """A view of each image and its row, in no order."""
    images = rng.uniform(size=(B, 3, 3, 1))
    return {"image": images, "index": rng.permutation(32)[:B].astype(np.int32)}


def two_crops(rng):
    """Two crops of each image and its row, in no order."""
    images = rng.uniform(size=(B, 2, 3, 3, 1))
    return {"global": images, "index": rng.permutation(32)[:B].astype(np.int32)}


def labelled_pair(rng):
    """Two views of each image, of which half have a label."""
    labels = np.where(np.arange(B) % 2, -1, rng.integers(0, 4, B))
    images = rng.uniform(size=(B, 2, 3, 3, 1))
    return {"image": images, "label": labels.astype(np.int32)}


HEAD = {"hidden_dim": 8, "output_dim": 4}
TEACHER = {**HEAD, "momentum": MOMENTUM}
BANK = {"num_examples": 32}

COMPARISONS = {
    "SimCLR": Comparison(
        "simclr",
        {**HEAD, "temperature": 0.5},
        functools.partial(reference.simclr, temperature=0.5),
    ),
    "MoCo": Comparison(
        "moco",
        {**TEACHER, "head_layers": 1, "queue_size": 32, "temperature": 0.07},
        functools.partial(reference.moco, temperature=0.07, step=STEP),
    ),
    "MoCo v2": Comparison(
        "moco",
        {**TEACHER, "queue_size": 32, "temperature": 0.2},
        functools.partial(reference.moco, temperature=0.2, step=STEP),
    ),
    "MoCo v3": Comparison(
        "moco_v3",
        {**TEACHER, "temperature": 0.2},
        functools.partial(reference.moco_v3, temperature=0.2),
    ),
    # Wide enough that no row dies in a ReLU: a prediction of 0 has no direction.
    "BYOL": Comparison("byol", {**TEACHER, "hidden_dim": 16}, reference.byol),
    # Statistics of 8 rows are so steep that float32 itself is 8e-6 off.
    "SimSiam": Comparison(
        "simsiam",
        {**HEAD, "predictor_dim": 4},
        reference.simsiam,
        views=lambda rng: rng.uniform(size=(2 * B, 2, 3, 3, 1)),
    ),
    "Barlow Twins": Comparison(
        "barlow_twins",
        {**HEAD, "redundancy_weight": 0.0051},
        functools.partial(reference.barlow_twins, redundancy_weight=0.0051, scale=1.0),
    ),
    "VICReg": Comparison("vicreg", HEAD, reference.vicreg),
    "W-MSE": Comparison(
        "w_mse",
        {"hidden_dim": 8, "output_dim": 3, "sub_batch_size": 8, "iterations": 2},
        functools.partial(reference.w_mse, size=8),
        lambda: [
            np.asarray(jax.random.permutation(key, B))
            for key in jax.random.split(KEY, 2)
        ],
    ),
    "NPID, NCE": Comparison(
        "npid",
        {"output_dim": 4, "num_negatives": 24, "temperature": 0.3},
        functools.partial(
            reference.npid, temperature=0.3, momentum=0.5, objective="nce", rows=32
        ),
        lambda: np.asarray(jax.random.randint(KEY, (B, 24), 0, 32)),
        one_view,
        BANK,
    ),
    "NPID, softmax": Comparison(
        "npid",
        {"output_dim": 4, "objective": "softmax", "temperature": 0.3},
        functools.partial(
            reference.npid, temperature=0.3, momentum=0.5, objective="softmax", rows=32
        ),
        views=one_view,
        wires=BANK,
    ),
    "SwAV": Comparison(
        "swav",
        {**HEAD, "num_prototypes": 6, "freeze_prototypes_steps": 0},
        functools.partial(reference.swav, temperature=0.1, step=STEP, queue_from=0),
        wires={"steps_per_epoch": 1},
    ),
    "SwAV with its queue": Comparison(
        "swav",
        {
            **HEAD,
            "num_prototypes": 6,
            "freeze_prototypes_steps": 0,
            "queue_size": 2 * B,
            "queue_start_epoch": 1,
        },
        functools.partial(reference.swav, temperature=0.1, step=STEP, queue_from=3),
        wires={"steps_per_epoch": 1},
    ),
    "DeepCluster": Comparison(
        "deepcluster",
        {"num_clusters": 5, "hidden_dims": (), "sobel": False, "components": 4},
        functools.partial(reference.deepcluster, rows=32),
        views=one_view,
        wires=BANK,
    ),
    "DeepCluster-v2": Comparison(
        "deepcluster_v2",
        {**HEAD, "num_prototypes": 5, "num_heads": 3},
        functools.partial(reference.deepcluster_v2, temperature=0.1),
        views=two_crops,
        wires=BANK,
    ),
    "Mean teacher": Comparison(
        "mean_teacher",
        {"num_classes": 4, "consistency_weight": 30.0, "momentum": MOMENTUM},
        functools.partial(reference.mean_teacher, weight=30.0, consistency="mse"),
        views=labelled_pair,
    ),
    "Mean teacher, divergence": Comparison(
        "mean_teacher",
        {
            "num_classes": 4,
            "consistency": "kl",
            "consistency_weight": 30.0,
            "momentum": MOMENTUM,
        },
        functools.partial(reference.mean_teacher, weight=30.0, consistency="kl"),
        views=labelled_pair,
    ),
    "DINO": Comparison(
        "dino",
        {
            "hidden_dim": 6,
            "bottleneck_dim": 4,
            "num_prototypes": 6,
            "momentum": MOMENTUM,
            "teacher_temperature": 0.04,
        },
        functools.partial(
            reference.dino, student_temperature=0.1, teacher_temperature=0.04
        ),
    ),
    "triplet, semi-hard": Comparison(
        "triplet",
        {**HEAD, "head_layers": 2, "margin": 0.5, "mining": "semi-hard"},
        functools.partial(reference.triplet, margin=0.5, mining="semi-hard"),
    ),
    "triplet, all": Comparison(
        "triplet",
        {**HEAD, "head_layers": 2, "margin": 0.5, "mining": "all"},
        functools.partial(reference.triplet, margin=0.5, mining="all"),
    ),
}


def errors(comparison: Comparison) -> dict[str, float]:
    """Errors of loss and gradient (relative) and of the state after the step.

    The gradient is compared as a whole vector, in the norm of the reference's; the
    state by its leaf that is farthest off, relative where it is larger than 1.
    """
    views = comparison.views(np.random.default_rng(0))
    narrow = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, np.int32 if leaf.dtype == "i4" else np.float32),
        views,
    )
    views = jax.tree.map(wide, narrow)  # What float32 could not hold is no error.
    wires = {"encoder": Linear(), "views": None, **comparison.wires}
    method = METHODS[comparison.method](**wires, **comparison.settings)
    params, state = begun(method, jax.random.key(0), narrow)
    params = stirred(params)
    # As after some steps: a teacher is not its student, a queue is not empty.
    for name in {"teacher", "queue", "center"} & set(state._fields):
        state = state._replace(**{name: stirred(getattr(state, name))})

    @jax.jit
    def found(params, state):
        loss = functools.partial(method.loss, key=KEY, step=jnp.int32(STEP))
        (value, (after, _)), gradient = jax.value_and_grad(loss, has_aux=True)(
            params, state, narrow
        )
        moved = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
        _, after = method.update(moved, after, step=jnp.int32(STEP + 1))
        return value, gradient, moved, after

    value, gradient, moved, after = found(params, state)
    p, s = jax.tree.map(wide, params), jax.tree.map(wide, fields(state))
    drawn = comparison.drawn()

    def loss_of(candidate):
        return comparison.reference(candidate, p, s, views, drawn)[0]

    expected, wanted = comparison.reference(p, p, s, views, drawn)
    if "teacher" in wanted:
        old, new = wanted["teacher"]["params"], jax.tree.map(wide, moved)
        new = {name: new[name] for name in old}
        followed = {"params": reference.ema(old, new, MOMENTUM)}
        wanted["teacher"] = {**wanted["teacher"], **followed}
    numeric = central_differences(loss_of, p)
    flat = jax.flatten_util.ravel_pytree
    difference = wide(flat(gradient)[0]) - flat(numeric)[0]
    off = jax.tree.map(relative, fields(after), wanted)
    return {
        "loss": float(relative(value, expected)),
        "gradient": float(
            np.linalg.norm(difference) / np.linalg.norm(flat(numeric)[0])
        ),
        "state": float(max(jax.tree.leaves(off), default=0.0)),
    }


def fields(state):
    """A state as a dict of its fields, and its teacher too."""
    found = state._asdict()
    if "teacher" in found:
        found["teacher"] = found["teacher"]._asdict()
    return found


def wide(leaf):
    """float64 of a float array; integers as they are."""
    leaf = np.asarray(leaf)
    return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf


def stirred(params):
    """Params with noise, so that no bias is 0 and a teacher is not its student."""
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(len(leaves))
    noisy = [leaf + 0.1 * rng.normal(size=leaf.shape).astype("f4") for leaf in leaves]
    return jax.tree.unflatten(tree, noisy)


def relative(a, b):
    """Largest error, relative where the wanted is larger than 1."""
    a, b = wide(a), wide(b)
    return np.abs(a - b).max(initial=0.0) / max(1.0, np.abs(b).max(initial=0.0))


def central_differences(function, params, step=1e-6):
    """Gradient of a scalar function of a tree of float64 arrays."""
    leaves, tree = jax.tree.flatten(params)
    gradients = []
    for k, leaf in enumerate(leaves):
        gradient = np.empty_like(leaf)
        for place in np.ndindex(leaf.shape):
            values = []
            for sign in (1, -1):
                moved = leaf.copy()
                moved[place] += sign * step
                candidate = [*leaves[:k], moved, *leaves[k + 1 :]]
                values.append(function(jax.tree.unflatten(tree, candidate)))
            gradient[place] = (values[0] - values[1]) / (2 * step)
        gradients.append(gradient)
    return jax.tree.unflatten(tree, gradients)
