"""What a run shows while it trains: a bar on a terminal, log lines elsewhere."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from tqdm import tqdm

log = logging.getLogger(__name__)

Clock = Callable[[], float]

# Kinds of features that an evaluation may show beside the trained ones.
CONTROLS = ("untrained", "pixels")
# What the record of a refresh has beside its own numbers.
REFRESHED_WHERE = ("kind", "step", "epoch", "seconds")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Facts of a run that its records are computed from.

    Attributes:
        num_steps: of the whole run.
        steps_per_epoch: to say where it is in epochs.
        batch_size: images a step, over all devices.
        devices: all devices of the mesh.
        restored_step: where this start of the run begins.
        extra: completed steps -> further values for the record, such as the learning
            rate of the last step.
    """

    num_steps: int
    steps_per_epoch: int
    batch_size: int
    devices: Sequence[jax.Device]
    restored_step: int = 0
    extra: Callable[[int], Mapping[str, float]] = lambda step: {}


class Progress:
    """A bar on a terminal, and elsewhere one log line an interval."""

    def __init__(
        self, run: RunFacts, *, stream: Any = None, clock: Clock = time.perf_counter
    ) -> None:
        self.run, self.clock, self.start = run, clock, clock()
        self.bar = tqdm(
            total=run.num_steps,
            initial=run.restored_step,
            file=stream,
            unit="step",
            dynamic_ncols=True,
            disable=None,  # Where there is no terminal.
        )

    def write(self, record: Mapping[str, Any]) -> None:
        """Shows a record."""
        step, text = record["step"], describe(record)
        training = record["kind"] == "train"
        if training and not self.bar.disable:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(step - self.bar.n)
            return
        text = f"step {step}/{self.run.num_steps} · {text}"
        if not self.bar.disable:
            self.bar.write(text, file=self.bar.fp)
            return
        done = step - self.run.restored_step
        if training and done > 0:
            seconds = (self.clock() - self.start) / done * (self.run.num_steps - step)
            text += f" · {tqdm.format_interval(seconds)} left"
        log.info(text)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self.bar.close()


def describe(record: Mapping[str, Any]) -> str:
    """A record of metrics.jsonl in a few words; what is not known is left out."""
    if record["kind"] == "doctor":
        spaces = [s for s in ("representation", "embedding") if f"{s}_std" in record]
        return "health: " + " · ".join(
            f"{space} spread {record[f'{space}_std']:.2f}, RankMe "
            f"{record[f'{space}_rank']:.1f} of {record[f'{space}_dim']:.0f}"
            for space in spaces
        )
    if record["kind"] == "eval":
        form = "{:.1%}" if record["unit"] == "%" else "{:.4g} " + record["unit"]
        values = {
            name: form.format(record[name]).rstrip()
            for name in (record["metric"], *CONTROLS)
            if record.get(name) is not None
        }
        text = f"{record['protocol']} {values.pop(record['metric'], '–')}"
        beside = ", ".join(f"{name} {value}" for name, value in values.items())
        return f"{text} ({beside})" if beside else text
    if record["kind"] == "refresh":
        said = {k: v for k, v in record.items() if k not in REFRESHED_WHERE}
        words = [f"{name} {value:.4g}" for name, value in said.items()]
        return " · ".join(["refresh", *words])
    forms = {
        "epoch": "epoch {:.2f}",
        "loss": "loss {:.4g}",
        "learning_rate": "lr {:.3g}",
        "images_per_second": "{:,.0f} images/s",
        "ms_per_step": "{:,.4g} ms/step",
        "data_wait": "{:.0%} waiting for data",
        "mfu": "{:.1%} of peak",
    }
    words = [
        form.format(record[name])
        for name, form in forms.items()
        if isinstance(record.get(name), int | float)
    ]
    if record.get("peak_memory_bytes"):
        words.append(f"{record['peak_memory_bytes'] / 2**30:.2f} GiB")
    return " · ".join(words)
