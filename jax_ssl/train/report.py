"""What a run says while it trains: a progress bar, metrics.jsonl, TensorBoard."""

import json
import logging
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Self

import jax

from jax_ssl.checkpoint.run_folder import json_value, replacing
from jax_ssl.train.flops import peak_flops, peak_memory, program_flops

log = logging.getLogger(__name__)


class JsonLines:
    """A file of one JSON object a line, that a resumed run continues.

    Opening drops what a killed run wrote after its last checkpoint: lines of a later
    step, which will be written again, and a last line torn in two. NaN and the
    infinities are written as the strings "NaN", "Infinity" and "-Infinity".
    """

    def __init__(self, path: str | os.PathLike[str], *, step: int) -> None:
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [
            line
            for line, record in _parsed(path)
            if isinstance(record.get("step"), int) and record["step"] <= step
        ]
        with replacing(path) as file:
            file.write("".join(line + "\n" for line in kept).encode())
        self._file: IO[str] = open(path, "a", encoding="utf-8")  # noqa: SIM115

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record and flushes it."""
        self._file.write(json.dumps(json_value(record), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Stopwatch:
    """Seconds of training, pauses left out.

    Args:
        clock: seconds from any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._sum = clock, 0.0
        self._since: float | None = None

    def resume(self) -> None:
        """Starts to count, if it does not already."""
        if self._since is None:
            self._since = self._clock()

    def pause(self) -> None:
        """Stops counting."""
        self._sum += self._running()
        self._since = None

    def lap(self) -> float:
        """Seconds counted since the last lap."""
        running = self._running()
        lap, self._sum = self._sum + running, 0.0
        if self._since is not None:
            self._since += running
        return lap

    def _running(self) -> float:
        return 0.0 if self._since is None else self._clock() - self._since


class RunRecorder:
    """Writes what the loop says; the `Recorder` of real runs.

    Every line of kind "train" has the metrics' means over its interval and "step",
    "epoch", "seconds" (since this start of the run), "learning_rate",
    "images_per_second", "ms_per_step", "data_wait" (share of the time spent waiting for
    data), "peak_memory_bytes" and "mfu" (null where it cannot be known).

    Only process 0 writes. With a terminal there is a progress bar; without, log lines.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        step: int,
        num_steps: int,
        steps_per_epoch: int,
        batch_size: int,
        learning_rate: Callable[[int], Any],
        extra: Callable[[], Mapping[str, Any]] = dict,
        tensorboard: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        stream: IO[str] | None = None,
    ) -> None:
        self.step, self.num_steps = step, num_steps
        self.steps_per_epoch, self.batch_size = steps_per_epoch, batch_size
        self.learning_rate, self.extra = learning_rate, extra
        self.flops: float | None = None  # Of one step on one device.
        self._clock, self._start = clock, clock()
        self._watch = Stopwatch(clock)
        self._main = jax.process_index() == 0
        stream = stream or sys.stderr
        self._bar = _bar(step, num_steps, stream) if self._main else None
        path = pathlib.Path(folder)
        self._lines = (
            JsonLines(path / "metrics.jsonl", step=step) if self._main else None
        )
        self._board = _board(path, step) if self._main and tensorboard else None

    def compiled(self, program: Any, steps: int) -> None:
        """Takes the FLOPs of a step from a compiled call."""
        del steps  # A loop's body is counted once.
        self.flops = program_flops(program) or self.flops

    def train(self, step: int, metrics: Mapping[str, float], waited: float) -> None:
        """Writes the line of the interval that ends at `step`."""
        steps, seconds = step - self.step, max(self._watch.lap(), 1e-9)
        self.step = step
        device = jax.local_devices()[0]
        peak = peak_flops(device)
        rate = steps / seconds
        record = {
            "kind": "train",
            "step": step,
            "epoch": step / self.steps_per_epoch,
            "seconds": self._clock() - self._start,
            # The rate of the interval's last step, which is step - 1 counted from 0.
            "learning_rate": float(self.learning_rate(step - 1)),
            "images_per_second": rate * self.batch_size,
            "ms_per_step": 1000 / rate,
            "data_wait": min(waited / seconds, 1.0),
            "peak_memory_bytes": peak_memory(jax.local_devices()),
            "mfu": self.flops * rate / peak if self.flops and peak else None,
            **metrics,
            **self.extra(),
        }
        self._write(record)
        shown = (
            f"loss {record['loss']:.4f}  lr {record['learning_rate']:.3g}  "
            f"{record['images_per_second']:,.0f} img/s  "
            f"wait {record['data_wait']:.0%}"
        )
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix_str(shown)
        elif self._main:
            left = (self.num_steps - step) / rate
            log.info("step %d/%d  %s  %s left", step, self.num_steps, shown, _hms(left))

    def evaluation(self, step: int, record: Mapping[str, Any]) -> None:
        """Writes a line of kind "eval"."""
        self._write(
            {
                "kind": "eval",
                "step": step,
                "epoch": step / self.steps_per_epoch,
                "seconds": self._clock() - self._start,
                **record,
            }
        )
        controls = [
            f"{name} {100 * record[name]:.1f}"
            for name in ("untrained", "pixels")
            if name in record
        ]
        beside = f" ({', '.join(controls)})" if controls else ""
        accuracy = 100 * record.get("accuracy", float("nan"))
        protocol = record.get("protocol", "evaluation")
        epoch = step / self.steps_per_epoch
        self._say(f"epoch {epoch:.0f}  {protocol} {accuracy:.1f} %{beside}")

    def pause(self) -> None:
        """The time that follows is not training."""
        self._watch.pause()

    def resume(self) -> None:
        """Training goes on."""
        self._watch.resume()

    def close(self) -> None:
        """Closes files and the bar."""
        if self._bar is not None:
            self._bar.close()
        if self._lines is not None:
            self._lines.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._lines is not None:
            self._lines.write(record)
        if self._board is not None:
            prefix = f"{record['kind']}/"
            for name, value in record.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(prefix + name, value, record["step"])

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text)
        elif self._main:
            log.info(text)


def _parsed(path: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break  # Torn by a kill; nothing whole can follow.
        found.append((line, record))
    return found


def _bar(step: int, num_steps: int, stream: IO[str]) -> Any:
    if not stream.isatty():
        return None
    from tqdm import tqdm

    return tqdm(
        initial=step,
        total=num_steps,
        file=stream,
        unit="step",
        dynamic_ncols=True,
        smoothing=0.1,
    )


def _board(folder: pathlib.Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "run.tensorboard needs the package tensorboardX: "
            "pip install 'jax_ssl[tensorboard]', or set it to False."
        ) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


def _hms(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
