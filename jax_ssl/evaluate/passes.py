"""Examples that a protocol goes through as often as it likes, the encoder frozen.

A probe of cached features sees every picture once. One that trains on crops has the
encoder read each of them anew, in the program that takes its step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh

from jax_ssl.core.fields import spec_of
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Batch, PyTree, Views
from jax_ssl.evaluate.data import Data
from jax_ssl.evaluate.part import gathered
from jax_ssl.parallel.mesh import check_batch_size, replicated
from jax_ssl.parallel.rows import map_examples
from jax_ssl.parallel.together import together
from jax_ssl.train.sweep import IN_FLIGHT, Sweep

# Pictures [B, H, W, C] to what is read of them, a tree of [B, ...].
Look: TypeAlias = Callable[[Array], PyTree]
# (look, carry, what the evaluation's view makes of a batch, number of the step) ->
# (next carry, what is told of the step). Carries are whole on every device.
Step: TypeAlias = Callable[[Look, PyTree, Views, Array], tuple[PyTree, PyTree]]
# (look, carry, the same) -> numbers of each example [B, ...].
Score: TypeAlias = Callable[[Look, PyTree, Views], Array]


@dataclass(frozen=True, eq=False)
class Passes:
    """One part of the data and one kind of features, with the mesh installed.

    Attributes:
        data: the examples.
        view: the evaluation's.
        read: (whole, pictures) -> what is read of them.
        whole: params and state of the network, or () for the input itself.
        mesh: the devices.
        at_once: examples that a device takes at a time where nothing is trained.
        made: programs by what they do, shared by those that differ in `whole` alone.
        kind: what tells `read` from another, for `made`.
    """

    data: Data
    view: ViewFn
    read: Callable[[PyTree, Array], PyTree]
    whole: PyTree
    mesh: Mesh
    at_once: int
    made: dict[Any, Any]
    kind: Any

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the examples."""
        found = self.data.rows
        return np.arange(self.data.count) if found is None else found

    def shapes(self, sides: Sequence[int]) -> PyTree:
        """Shapes of what is read of one picture of these sides."""
        *_, channels = self.seen["image"].shape
        x = jax.ShapeDtypeStruct((1, *sides, channels), self.seen["image"].dtype)
        return jax.eval_shape(self.read, self.whole, x)

    @property
    def seen(self) -> Views:
        """Shapes of what the view makes of an example."""
        return shown(self.view, self.data)

    def fold(
        self, step: Step, carry: PyTree, rows: np.ndarray
    ) -> tuple[PyTree, list[PyTree]]:
        """Takes steps on batches of examples.

        Args:
            step: the same function for the same program.
            carry: arrays that the first step is given.
            rows: [steps, B] numbers of examples.

        Returns:
            (the last carry, what each step told).

        Raises:
            ValueError: if B is no multiple of the devices.
        """
        check_batch_size(rows.shape[1], self.mesh.size)
        feed = self.data.feed

        def one(
            whole: PyTree, carry: PyTree, data: PyTree, piece: PyTree, at: Array
        ) -> tuple[PyTree, PyTree]:
            seen = self._seen(feed.batch(data, piece))
            return step(lambda x: self.read(whole, x), carry, seen, at)

        key = (step, self.kind, id(feed))
        if key not in self.made:
            everywhere = replicated(self.mesh)
            self.made[key] = together(one, donate_argnums=1, out_shardings=everywhere)
        told: list[PyTree] = []
        with feed.sweep(rows) as pieces:
            for at, piece in enumerate(pieces):
                if at >= IN_FLIGHT:
                    jax.block_until_ready(told[at - IN_FLIGHT])
                given = self.whole, carry, feed.data, piece, np.int32(at)
                carry, some = self.made[key](*given)
                told.append(some)
        return carry, told

    def each(self, score: Score, carry: PyTree, rows: np.ndarray) -> np.ndarray:
        """Numbers of each of some examples, [n, ...] in their order.

        Examples that cannot be read are left out.

        Args:
            score: the same function for the same program.
            carry: arrays that it is given.
            rows: [n] numbers of the examples.
        """

        def one(whole: PyTree, batch: Batch) -> PyTree:
            network, carry = whole
            seen = self._seen(batch)
            numbers = score(lambda x: self.read(network, x), carry, seen)
            return numbers, batch["index"]

        feed, whole = self.data.feed, (self.whole, carry)
        leaves = [leaf.shape for leaf in jax.tree.leaves(carry)]
        key = (score, self.kind, id(feed), rows.tobytes(), tuple(leaves))
        if key not in self.made:
            self.made[key] = Sweep(
                one, whole, feed, self.mesh, rows=rows, at_once=self.at_once
            )
        sweep = self.made[key]
        numbers, index = map(gathered, sweep(whole))
        return numbers[index == sweep.rows]

    def _seen(self, batch: Batch) -> Views:
        return map_examples(self.view, jax.random.key(0), batch)


def shown(view: ViewFn, data: Data) -> Any:
    """Shapes of what a view makes of an example of some data."""
    return jax.eval_shape(view, jax.random.key(0), spec_of(data.feed.fields))


def check_shown(name: str, needs: Sequence[str], view: ViewFn, data: Data) -> None:
    """Refuses a view that does not show what a protocol trains on.

    Raises:
        ValueError: naming the protocol, the field and views that would do.
    """
    seen = shown(view, data)
    there = sorted(seen) if isinstance(seen, Mapping) else ["image"]
    if lacks := [each for each in ("image", *needs) if each not in there]:
        raise ValueError(
            f"config.evals.{name} trains on crops of what config.evals.view shows, "
            f"which is {', '.join(there)} and no {lacks[0]}: choose "
            "name = 'segmentation_whole', or carried = ('mask',) of 'center_crop'."
        )
