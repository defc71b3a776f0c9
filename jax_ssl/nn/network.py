"""A network as named parts: an encoder first, then heads, each reading the one before.

Parameters and running statistics are dictionaries with a key for each part, so that a
method can hand a part to a teacher, export one alone, or apply the first few.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.method import ChanceFn, Health, Load
from jax_ssl.core.schedule import at
from jax_ssl.core.trees import ema
from jax_ssl.core.types import Array, Features, Params, PyTree, State, Variables, Views
from jax_ssl.nn.apply import forward, initialize, permuted
from jax_ssl.nn.views import pair

Outputs: TypeAlias = dict[str, Any]  # By part: `Features` of an encoder, else an array.
Heads: TypeAlias = Mapping[str, nn.Module]  # By part; each takes `(x, *, train)`.


class Copy(NamedTuple):
    """Parts of a network with variables of their own, such as a teacher's.

    Attributes:
        params: by part; no optimizer moves them.
        stats: by part; they are not averages of the student's.
    """

    params: Params
    stats: PyTree

    def variables(self) -> Variables:
        """All of it, for a file: {"params": by part, "stats": by part}."""
        return {"params": self.params, "stats": self.stats}

    def holding(self, variables: Variables) -> "Copy":
        """The same parts with what `variables` gives; a file leaves out what is {}."""
        given = (variables.get(name, {}) for name in ("params", "stats"))
        params, stats = (
            {part: own.get(part, {}) for part in self.params} for own in given
        )
        return Copy(params, stats)


class StatsState(NamedTuple):
    """State of a method that carries nothing else beside its params."""

    stats: PyTree  # Running statistics of all parts.


class Network:
    """Named parts, the first of which reads the input.

    A part that returns `Features` hands on what is pooled, any other its output. A call
    applies the parts that its `params` hold, in their order, and returns the outputs of
    all of them with the next stats. Inside `parallel.chunks.in_chunks` the first part
    sees the rows chunk by chunk, with the same result; the others, whose activations
    are small, see all rows, and so does their batch norm.

    Attributes:
        parts: linen modules by name; each takes `(x, *, train)`.
        first: name of the first.
    """

    def __init__(self, **parts: nn.Module) -> None:
        self.parts: Mapping[str, nn.Module] = parts
        self.first = next(iter(parts))

    @classmethod
    def of(cls, encoder: nn.Module, given: Heads | None, **made: nn.Module) -> Self:
        """An encoder and heads, of which those that are given replace those made.

        Raises:
            ValueError: if one is given that the network has no place for.
        """
        given = given or {}
        if unknown := sorted(given.keys() - made.keys()):
            raise ValueError(
                f"heads: this method has no {unknown[0]!r}; its heads are "
                f"{', '.join(made)}."
            )
        return cls(encoder=encoder, **{**made, **given})

    @staticmethod
    def handed_on(output: Any) -> Array:
        """What the next part reads: pooled features, or the output itself."""
        return output.pooled if isinstance(output, Features) else output

    def init(self, key: Array, x: Array) -> tuple[Params, PyTree]:
        """First params and stats for inputs like x [n, ...]; both are keyed by part."""
        params, stats = {}, {}
        for name, module in self.parts.items():
            key, own_key = jax.random.split(key)
            params[name], stats[name] = initialize(module, own_key, x)
            evaluate = functools.partial(forward, module, train=False, whole=True)
            output, _ = jax.eval_shape(evaluate, params[name], stats[name], x)
            x = jax.tree.map(
                lambda following: jnp.zeros((1, *following.shape[1:]), following.dtype),
                self.handed_on(output),
            )
        return params, stats

    def init_pair(self, key: Array, views: Views) -> tuple[Params, StatsState]:
        """The `init` of a method of views [B, 2, ...] that carries stats alone."""
        params, stats = self.init(key, pair(views)[:, 0])
        return params, StatsState(stats)

    def copy(self, params: Params, stats: PyTree, *, until: str) -> Copy:
        """The parts up to `until`, as they are now: a teacher of the same values."""
        names = list(self.parts)
        kept = names[: names.index(until) + 1]
        return Copy({n: params[n] for n in kept}, {n: stats[n] for n in kept})

    def __call__(
        self,
        params: Params,
        stats: PyTree,
        x: Array,
        *,
        train: bool = True,
        rngs: Mapping[str, Array] | None = None,
        shuffle: Array | None = None,
    ) -> tuple[Outputs, PyTree]:
        """Applies the parts to inputs x [n, ...] of the global batch.

        Args:
            params: by part; parts without any here are not applied.
            stats: by part; those of parts that are not applied come back as they are.
            x: what the first part reads.
            train: False uses the statistics and leaves them as they are.
            rngs: keys of what the parts draw.
            shuffle: [] key; the rows enter in a random order, and the outputs return to
                theirs, so that a row's batch-norm group is a random one (shuffled batch
                norm; MoCo, section 3.3).
        """
        if shuffle is not None:
            order = jax.random.permutation(shuffle, len(x))
            mixed, stats = self(params, stats, x[order], train=train, rngs=rngs)
            return permuted(mixed, jnp.argsort(order)), stats
        outputs: Outputs = {}
        stats = dict(stats)
        for name, module in self.parts.items():
            if name in params:
                outputs[name], stats[name] = forward(
                    module,
                    params[name],
                    stats[name],
                    x,
                    train=train,
                    rngs=rngs,
                    whole=name != self.first,
                )
                x = self.handed_on(outputs[name])
        return outputs, stats

    def together(
        self, params: Params, stats: PyTree, views: Array, **settings: Any
    ) -> tuple[Outputs, PyTree]:
        """All views in one pass: batch norm sees the B V rows of views [B, V, ...].

        Returns:
            (outputs [B, V, ...] by part, next stats).
        """
        flat = views.reshape(-1, *views.shape[2:])
        outputs, stats = self(params, stats, flat, **settings)
        rows = views.shape[:2]
        return jax.tree.map(lambda y: y.reshape(*rows, *y.shape[1:]), outputs), stats

    def each(
        self, params: Params, stats: PyTree, views: Array, **settings: Any
    ) -> tuple[Outputs, PyTree]:
        """View 0 of all rows, then view 1, and so on, of views [B, V, ...].

        Batch norm sees one view at a time, and its statistics move once for each.

        Returns:
            (outputs [B, V, ...] by part, next stats).
        """
        outputs = []
        for v in range(views.shape[1]):
            output, stats = self(params, stats, views[:, v], **settings)
            outputs.append(output)
        return jax.tree.map(lambda *y: jnp.stack(y, axis=1), *outputs), stats

    def crops(
        self,
        params: Params,
        stats: PyTree,
        stacks: Sequence[Array],
        *,
        rngs: Mapping[str, Array] | None = None,
    ) -> tuple[Outputs, PyTree]:
        """The encoder on each stack of crops by itself, the heads on all together.

        This is the released codes' way with multi-crop: the encoder's batch norm sees
        crops of one size at a time, that of the heads sees all of them.

        Args:
            params: by part.
            stats: by part.
            stacks: arrays [B, V, h, w, C], one for each size; see `crop_stacks`.
            rngs: keys of what the encoder draws, folded with the number of the stack.

        Returns:
            (outputs by part: of the encoder the pooled features of all crops [B, V, D]
            in the order of the stacks, of the heads [B, V, ...]; next stats).

        Raises:
            ValueError: if crops of different sizes have different numbers of features.
        """
        encoder = {self.first: params[self.first]}
        heads = {name: own for name, own in params.items() if name != self.first}
        pooled = []
        for i, stack in enumerate(stacks):
            own = {
                name: jax.random.fold_in(key, i) for name, key in (rngs or {}).items()
            }
            seen, stats = self.together(encoder, stats, stack, rngs=own)
            pooled.append(self.handed_on(seen[self.first]))
        if len({x.shape[-1] for x in pooled}) > 1:
            raise ValueError(
                f"crops of {[stack.shape[2:4] for stack in stacks]} pixels have "
                f"{[x.shape[-1] for x in pooled]} features, which one head cannot "
                "read; choose an encoder that takes their mean."
            )
        features = jnp.concatenate(pooled, axis=1)
        outputs, stats = self.together(heads, stats, features)
        return {self.first: features, **outputs}, stats

    def evaluated(
        self,
        head: str | None = None,
        *,
        of: str | None = None,
        chance: ChanceFn | float | None = None,
        prototypes: int | None = None,
        followers: Sequence[str] = ("teacher",),
    ) -> dict[str, Any]:
        """What of this network is judged and kept, as keywords of `Method`.

        The method's state must hold `stats`.

        Args:
            head: the part whose output the loss compares, for the collapse doctor and
                for protocols that read the head; None if it compares none.
            of: the `Copy` in the state whose encoder is evaluated and exported; None
                for the encoder that learns.
            chance: see `Health`; a number where the batch does not matter.
            prototypes: see `Health`.
            followers: each `Copy` in the state that follows the encoder, and therefore
                starts from the same file as it does; names that are not there count as
                none.
        """

        def export(params: Params, state: State) -> Variables:
            own = getattr(state, of) if of else Copy(params, state.stats)
            return {"params": own.params[self.first], **own.stats[self.first]}

        def load(
            params: Params, state: State, variables: Variables
        ) -> tuple[Params, State]:
            stats = dict(variables)
            own = {self.first: stats.pop("params")}
            moved = {self.first: stats}
            for name in followers:
                if hasattr(state, name):
                    old = getattr(state, name)
                    copy = Copy({**old.params, **own}, {**old.stats, **moved})
                    state = state._replace(**{name: copy})
            return {**params, **own}, state._replace(stats={**state.stats, **moved})

        def project(params: Params, state: State, x: Array) -> Array:
            name = head or self.first
            own = self.copy(params, state.stats, until=name)
            return self(*own, x, train=False)[0][name]

        if isinstance(chance, int | float):
            chance = functools.partial(lambda value, batch_size: value, chance)
        return {
            "encoder": self.parts[self.first],
            "exports": {"encoder": export},
            "loads": {"encoder": Load(export, load)},
            "health": Health(project if head else None, chance, prototypes),
        }


class GridNetwork(Network):
    """A network whose heads read the encoder's grid [n, h, w, D], cell by cell."""

    @staticmethod
    def handed_on(output: Any) -> Array:
        """What the next part reads: the grid of features, or the output itself."""
        return output.grid if isinstance(output, Features) else output


@dataclass(frozen=True)
class Follow:
    """The `update` of a teacher that follows the params, by an exponential average.

    The momentum of step s is that with which step s, counted from 0, is logged.

    Attributes:
        momentum: weight of the old teacher; a schedule counts from 0.
        clock: whose momentum moves the teacher at the end of a step, that of the step
            just made ("last"), or of the next one ("next"), for papers in which the
            teacher moves at the beginning of a step.
        name: of the teacher in the state, a `Copy`.
    """

    momentum: optax.Schedule | float
    clock: Literal["last", "next"] = "last"
    name: str = "teacher"

    def __call__(
        self, params: Params, state: State, *, step: Array
    ) -> tuple[Params, State]:
        """Params as they are and state with the teacher moved; see `UpdateFn`."""
        old = getattr(state, self.name)
        new = {name: params[name] for name in old.params}
        momentum = at(self.momentum, step - 1 if self.clock == "last" else step)
        moved = old._replace(params=ema(old.params, new, momentum))
        return params, state._replace(**{self.name: moved})
