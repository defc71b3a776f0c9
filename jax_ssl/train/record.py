"""What a run says of itself: records, curves, a progress line, its own speed."""

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jax_ssl.parallel.processes import of_first
from jax_ssl.train.flops import mfu
from jax_ssl.train.metrics import MetricsFile, read_metrics
from jax_ssl.train.progress import Clock, Progress, RunFacts
from jax_ssl.train.trackers import Tracked, Tracker, Writer

FIRST_LINE = 10.0  # Seconds without a line after which the first one comes.


class Reporter:
    """The loop's recorder: times the steps and passes complete records on.

    Call `train` right after the interval's metrics have been fetched: that has waited
    for the device, so the time is that of the work and not of its dispatch.

    A train record is {"kind": "train", "step", "epoch", "seconds" since the start of
    the run, "examples_per_second", "ms_per_step", "data_wait": share of the time in
    which the host waited for data, "peak_memory_bytes": most of any local device, or
    None where the backend does not say (CPU), "mfu": or None, "loss" and the other
    metrics}; an evaluation's is {"kind": "eval", "step", "epoch", "seconds", ...}, and
    so is that of a refresh, {"kind": "refresh", ..., "refresh_seconds"}.

    Attributes:
        evaluated: steps whose evaluations an earlier start of the run has recorded.
        flops: of one step over all devices; None where they are not known.
        show: what shows a record without keeping it, for `glance`.
        patience: seconds without a line after which `glance` shows one.
    """

    def __init__(
        self,
        run: RunFacts,
        writers: Iterable[Writer],
        *,
        past_seconds: float = 0.0,
        evaluated: Iterable[int] = (),
        clock: Clock = time.perf_counter,
        show: Callable[[Mapping[str, Any]], None] | None = None,
        patience: float = 60.0,
    ) -> None:
        self.evaluated = set(evaluated)
        self.run, self.writers, self.clock = run, tuple(writers), clock
        self.began = self.shown = clock()
        self.began -= past_seconds
        self.show, self.patience = show, min(patience, FIRST_LINE)
        self._later = patience
        self.last = run.restored_step
        self.flops: float | None = None
        # Seconds of training since the last train record, up to the time `since`;
        # before the first pause, the run has not begun.
        self.trained = 0.0
        self.since: float | None = None

    def train(self, step: int, metrics: Mapping[str, float], waited: float) -> None:
        """Records the interval since the last call.

        Args:
            step: completed steps.
            metrics: means over the interval.
            waited: seconds in it that the host waited for data.
        """
        self._count()
        seconds, self.trained = self.trained, 0.0
        steps, self.last = step - self.last, step
        speed = self._speed(steps, seconds, waited)
        memory = {"peak_memory_bytes": peak_memory(self.run.devices)}
        extra = self.run.extra(step)
        self.note(step, {"kind": "train", **speed, **memory, **metrics, **extra})
        self.shown, self.patience = self.clock(), self._later

    def glance(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Shows where the run is if nothing was shown for long; records nothing.

        Args:
            step: steps dispatched so far.
            metrics: of the last of them, on the device.
        """
        if self.show is None or self.clock() - self.shown < self.patience:
            return
        loss = float(np.mean(jax.device_get(metrics["loss"])))
        seconds = self.trained + self.clock() - (self.since or self.clock())
        speed = self._speed(step - self.last, seconds, 0.0)
        del speed["data_wait"]
        where = {
            "kind": "train",
            "step": step,
            "epoch": step / self.run.steps_per_epoch,
        }
        self.show({**where, **speed, "loss": loss})
        self.shown, self.patience = self.clock(), self._later

    def _speed(
        self, steps: int, seconds: float, waited: float
    ) -> dict[str, float | None]:
        names = ("examples_per_second", "ms_per_step", "data_wait", "mfu")
        speed: dict[str, float | None] = dict.fromkeys(names)
        if seconds > 0 and steps > 0:
            speed = {
                "examples_per_second": steps * self.run.batch_size / seconds,
                "ms_per_step": 1000 * seconds / steps,
                "data_wait": min(waited / seconds, 1.0),
                "mfu": mfu(self.flops, seconds / steps, self.run.devices),
            }
        return speed

    def note(self, step: int, record: Mapping[str, Any]) -> None:
        """Records anything that was found at a step; "kind" is "eval" unless given."""
        where = {
            "kind": "eval",
            "step": step,
            "epoch": step / self.run.steps_per_epoch,
            "seconds": self.clock() - self.began,
        }
        for writer in self.writers:
            writer.write({**where, **record})

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is not training: compilation, evaluation, checkpoints."""
        self._count()
        yield
        self.since = self.clock()

    def close(self) -> None:
        """Closes the writers."""
        for writer in self.writers:
            writer.close()

    def _count(self) -> None:
        now = self.clock()
        if self.since is not None:
            self.trained += now - self.since
        self.since = now


def open_reporter(
    folder: str | pathlib.Path,
    run: RunFacts,
    *,
    trackers: Sequence[Tracker] = (),
    config: Mapping[str, Any] | None = None,
    clock: Clock = time.perf_counter,
) -> Reporter:
    """A reporter into a run's folder; all processes but the first say nothing.

    Args:
        folder: gets metrics.jsonl.
        run: facts of the run.
        trackers: where records go beside that.
        config: the resolved one, for trackers.
        clock: seconds.

    Raises:
        ValueError: if a tracker's library is missing.
    """
    folder = pathlib.Path(folder)
    past = [
        r for r in read_metrics(folder / "metrics.jsonl") if r.get("kind") == "eval"
    ]
    known = json.loads(of_first("evaluated", json.dumps([r["step"] for r in past])))
    if jax.process_index() != 0:
        return Reporter(run, (), evaluated=known, clock=clock)
    tracked = Tracked(folder, run, config or {})
    others = [tracker(tracked) for tracker in trackers]
    file = MetricsFile(folder / "metrics.jsonl", restored_step=run.restored_step)
    seconds = max((record.get("seconds") or 0.0 for record in file.kept), default=0.0)
    progress = Progress(run)
    return Reporter(
        run,
        (file, *others, progress),
        past_seconds=seconds,
        evaluated=known,
        clock=clock,
        show=progress.write,
        patience=60.0 if progress.bar.disable else 5.0,
    )


def peak_memory(devices: Iterable[jax.Device]) -> int | None:
    """Most bytes that any local device has held at once; None if none of them says."""
    mine = [d for d in devices if d.process_index == jax.process_index()]
    stats = [device.memory_stats() or {} for device in mine]
    peaks = [each["peak_bytes_in_use"] for each in stats if "peak_bytes_in_use" in each]
    return max(peaks, default=None)
