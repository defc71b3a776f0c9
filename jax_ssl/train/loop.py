"""The one loop: a story from the first state to the last checkpoint."""

import functools
import logging
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jax_ssl.checkpoint.manager import Checkpoints
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.state import TrainState
from jax_ssl.core.telling import telling
from jax_ssl.core.types import Metrics
from jax_ssl.parallel.processes import meet
from jax_ssl.train.calls import Calls
from jax_ssl.train.feeds import calls
from jax_ssl.train.interrupt import catch_signals
from jax_ssl.train.program import Program
from jax_ssl.train.record import Reporter
from jax_ssl.train.refresh import Refresher
from jax_ssl.train.seeds import SeedsCheckpoints, SeedsReporter
from jax_ssl.train.step import NONFINITE_LEAF

log = logging.getLogger(__name__)

# Steps are dispatched ahead of the device, but no further than this many calls, or the
# batches waiting in device memory would grow without bound.
CALLS_IN_FLIGHT = 4
COMPILING = "compiling (this may take a minute on a laptop)"


class NotFiniteError(ArithmeticError):
    """The loss or its gradient was NaN or infinite; the run cannot go on.

    Attributes:
        step: completed steps before the offending one.
        part: name of the first leaf that was not finite, such as "params/encoder/...".
    """

    def __init__(self, step: int, part: str, loss: float, whose: str = "") -> None:
        super().__init__(
            f"{whose}step {step}: loss {loss}, and the first part that is not finite "
            f"is {part!r}. The last checkpoint before it is kept. A lower learning "
            "rate, a longer warm-up or gradient clipping (optimizer.clip_norm) usually "
            "helps; for 'views', look at the images of that batch."
        )
        self.step, self.part = step, part


@dataclass(frozen=True)
class Evaluation:
    """Something to look at every so many steps.

    Attributes:
        every_steps: at each multiple of this, and nowhere else.
        run: (state, means of the metrics since the last log line) -> records for the
            log. What it raises ends the run; what it has yielded before is in the log.
        guards: whether it looks before the state is saved, which it can prevent. All
            others look afterwards, so that a failure of theirs costs no step.
    """

    every_steps: int
    run: Callable[[TrainState, Mapping[str, float]], Iterable[Mapping[str, Any]]]
    guards: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """When things happen; all in steps.

    The steps between two stops are one compiled call. Stops are a function of the step
    alone, so that a resumed run cuts the steps as the uninterrupted one did.

    Attributes:
        num_steps: of the whole run.
        log_every: metrics are averaged over, and fetched after, this many.
        checkpoint_every: 0 for only the last.
        steps_per_call: steps scanned in one dispatch.
    """

    num_steps: int
    log_every: int = 50
    checkpoint_every: int = 0
    steps_per_call: int = 1

    def __post_init__(self) -> None:
        checks.at_least(1, num_steps=self.num_steps)
        checks.at_least(1, log_every=self.log_every, steps_per_call=self.steps_per_call)

    def stop_after(self, step: int, others: Sequence[int] = ()) -> int:
        """The first stop after `step`; `others` are further intervals to stop at."""
        every = (self.steps_per_call, self.log_every, self.checkpoint_every, *others)
        return min(self.num_steps, *((step // n + 1) * n for n in every if n > 0))


@dataclass(frozen=True)
class Outcome:
    """How `fit` ended.

    Attributes:
        train: the last state.
        step: completed steps.
        interrupted: the signal that asked the run to end, or None.
    """

    train: TrainState
    step: int
    interrupted: signal.Signals | None


def fit(
    made: Program,
    *,
    seed: int,
    plan: Plan,
    recorder: Reporter | SeedsReporter,
    checkpoints: Checkpoints | SeedsCheckpoints | None = None,
    evaluations: Sequence[Evaluation] = (),
    compiled: Calls | None = None,
    view: ViewFn | None = None,
    glance: Callable[[int, Metrics], None] = lambda step, metrics: None,
) -> Outcome:
    """Trains from the last checkpoint, or from the start, to `plan.num_steps`.

    At a stop the order is: metrics, guards, checkpoint, other evaluations. A run killed
    between two of them resumes at the last checkpoint and repeats the steps since, bit
    for bit, and makes up for an evaluation that is due there and not on record. A
    refresh of the method belongs to the step after it, so that a checkpoint of that
    moment is of before the refresh.

    Args:
        made: by `program`.
        seed: of parameters, views and the method's own randomness.
        plan: when things happen.
        recorder: where metrics and what evaluations find go.
        checkpoints: where states go; None keeps nothing.
        evaluations: of the state, during training.
        compiled: the program's calls, where something is told of them.
        view: the evaluation's: one example -> one un-augmented image [h, w, C]. Only
            methods with a `refresh` need it.
        glance: called after every call that no log line follows, with the steps
            dispatched so far and its metrics.

    Returns:
        The last state, and whether a signal asked the run to end.

    Raises:
        NotFiniteError: if loss or gradient is not; checked before anything is saved.
        ValueError: if a refresh lacks its view.
    """
    intervals = [evaluation.every_steps for evaluation in evaluations]
    refresher = None
    if made.method.refresh is not None:
        refresher = Refresher(made, view)
        intervals.append(refresher.every_steps)
    with jax.set_mesh(made.mesh), catch_signals() as interrupt:
        with recorder.paused():
            meet()
            if checkpoints is not None and checkpoints.latest_step() is not None:
                train = checkpoints.restore(made.abstract)
                where = checkpoints.folder
                log.info("resumed at step %d from %s", int(train.step), where)
            else:
                train = made.start(jax.random.key(seed))
        step = int(train.step)

        def look(due: Iterable[Evaluation], means: Mapping[str, float]) -> None:
            for evaluation in due:
                for record in evaluation.run(train, means):
                    recorder.note(step, record)

        if step and step not in recorder.evaluated:
            with recorder.paused():
                others = [e for e in evaluations if not e.guards]
                look([e for e in others if step % e.every_steps == 0], {})
        steps = range(step, plan.num_steps)
        stop_after = functools.partial(plan.stop_after, others=intervals)
        compiled = Calls(made) if compiled is None else compiled
        pending: list[Metrics] = []  # Metrics of the calls since the last log line.
        logged = step
        waited = 0.0
        with made.feed.pieces(steps, stop_after) as pieces:
            for (_, k), payload in zip(calls(steps, stop_after), pieces, strict=True):
                if refresher is not None and refresher.due(step):
                    jax.block_until_ready(train)  # As below.
                    with recorder.paused():
                        train, numbers = refresher(train)
                        recorder.note(step, {"kind": "refresh", **numbers})
                if k not in compiled:
                    jax.block_until_ready(train)  # Or running steps would go untimed.
                    with recorder.paused(), telling(COMPILING):
                        compiled(k)
                        meet()
                interrupt.hold()
                train, metrics = compiled(k)(train, made.feed.data, payload)
                step += k
                pending.append(metrics)
                if len(pending) > CALLS_IN_FLIGHT:
                    jax.block_until_ready(pending[-1 - CALLS_IN_FLIGHT])

                due = [e for e in evaluations if step % e.every_steps == 0]
                last = interrupt.asked() or step == plan.num_steps
                save = last or (
                    plan.checkpoint_every and step % plan.checkpoint_every == 0
                )
                if due or save or step % plan.log_every == 0:
                    means = _fetch(pending, logged, made.checked_leaves)
                    recorder.train(step, means, pieces.waited - waited)
                    pending, logged, waited = [], step, pieces.waited
                    with recorder.paused():
                        look([e for e in due if e.guards], means)
                        if save and checkpoints is not None:
                            checkpoints.save(train, {"step": step, "seed": seed})
                        look([e for e in due if not e.guards], means)
                else:
                    glance(step, metrics)
                if last:
                    break
        if checkpoints is not None:
            checkpoints.wait()
    return Outcome(train, step, interrupt.signal)


def _fetch(pending: Sequence[Metrics], start: int, names: Sequence[str]) -> Any:
    """Means over the steps since `start`; the interval's only wait for the device.

    A list for each metric where several seeds are trained together.

    Raises:
        NotFiniteError: naming the first offending step and part.
    """
    host = jax.device_get(list(pending))
    joined = {
        name: np.concatenate([metrics[name] for metrics in host]) for name in host[0]
    }
    leaves = joined.pop(NONFINITE_LEAF)
    bad = np.argwhere((leaves >= 0) | ~np.isfinite(joined["loss"]))
    if len(bad):
        at = tuple(bad[0])
        part = names[leaves[at]] if leaves[at] >= 0 else "loss"
        whose = "".join(f"seed number {i} of --seeds, counted from 0, " for i in at[1:])
        loss = float(joined["loss"][at])
        raise NotFiniteError(start + int(at[0]), part, loss, whose)
    return {name: values.mean(0).tolist() for name, values in joined.items()}
