"""What a run shows while it trains: a bar on a terminal, log lines elsewhere."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from tqdm import tqdm

from jax_ssl.core.telling import CLEAR

log = logging.getLogger(__name__)

Clock = Callable[[], float]

# Kinds of features that an evaluation may show beside the trained ones.
CONTROLS = ("untrained", "pixels", "samples", "mfcc")
# What the record of a refresh has beside its own numbers.
REFRESHED_WHERE = ("kind", "step", "epoch", "seconds")
# What stands beside a bar, the most important first, and the columns left to the bar.
ON_BAR = ("loss", "left", "examples_per_second", "epoch", "learning_rate")
LEAST_BAR = 10
# After so many steps it is said how long the run will take, sooner if they are slow.
FIRST_STEPS, SLOW_MS = 3, 3000.0


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Facts of a run that its records are computed from.

    Attributes:
        num_steps: of the whole run.
        steps_per_epoch: to say where it is in epochs.
        batch_size: images a step, over all devices.
        devices: all devices of the mesh.
        restored_step: where this start of the run begins.
        name: stands in front of every line, where several runs are trained together;
            there is no bar then.
        extra: completed steps -> further values for the record, such as the learning
            rate of the last step.
    """

    num_steps: int
    steps_per_epoch: int
    batch_size: int
    devices: Sequence[jax.Device]
    restored_step: int = 0
    name: str = ""
    extra: Callable[[int], Mapping[str, float]] = lambda step: {}


class Progress:
    """A bar on a terminal, and elsewhere one log line an interval."""

    def __init__(
        self, run: RunFacts, *, stream: Any = None, columns: int | None = None
    ) -> None:
        self.run, self.columns = run, columns
        # Whether it is said how long the run will take.
        self.promised = bool(run.name)
        self.bar = tqdm(
            total=run.num_steps,
            initial=run.restored_step,
            file=stream,
            dynamic_ncols=True,
            ncols=columns,
            delay=1e-9,  # Before the first step there is nothing to see.
            disable=True if run.name else None,  # None: where there is no terminal.
        )

    def write(self, record: Mapping[str, Any]) -> None:
        """Shows a record."""
        step, words = record["step"], words_of(record)
        training, per_step = record["kind"] == "train", record.get("ms_per_step")
        if training and per_step:
            seconds = per_step / 1000 * (self.run.num_steps - step)
            words["left"] = f"{tqdm.format_interval(seconds)} left"
        if training and not self.bar.disable:
            self._draw(step, words)
        else:
            where = [f"step {step}/{self.run.num_steps}", *words.values()]
            text = " · ".join([*filter(None, [self.run.name]), *where])
            if self.bar.disable:
                log.info(text)
            else:
                self.bar.fp.write(f"{CLEAR}{text}\n")
                if not self.bar.delay:  # It was there.
                    self.bar.refresh()
        steps = step - self.run.restored_step
        if training and per_step and not self.promised:
            self.promised = steps * max(1.0, per_step / SLOW_MS) >= FIRST_STEPS
            if self.promised and step < self.run.num_steps:
                self._promise(per_step / 1000)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self.bar.close()

    def _draw(self, step: int, words: Mapping[str, str]) -> None:
        """The bar, with as many words as leave it its least width."""
        columns = self.columns or shutil.get_terminal_size().columns
        self.bar.ncols = columns - 1
        number = f"{step}/{self.run.num_steps} |"
        room = columns - 1 - len(number) - LEAST_BAR - len("|")
        text = ""
        for name in (*ON_BAR, *(words.keys() - ON_BAR)):
            longer = f"{text} · {words.get(name)}" if text else f" {words.get(name)}"
            if name in words and len(longer) <= room:
                text = longer
        self.bar.bar_format = f"{number}{{bar}}|{text}"
        self.bar.n, self.bar.delay = step, 0
        self.bar.refresh()

    def _promise(self, seconds_per_step: float) -> None:
        steps = self.run.num_steps - self.run.restored_step
        seconds = steps * seconds_per_step
        text = f"this run needs about {duration(seconds)} here, evaluations apart"
        if seconds > 3600:
            text += "; config.run.num_epochs says for how long it trains"
        log.info(text)


def duration(seconds: float) -> str:
    """Seconds in the unit that fits, in two digits."""
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"{digits(seconds / size)} {name}s"
    whole = max(round(seconds), 1)
    return f"{whole} second{'s' * (whole > 1)}"


def digits(value: float) -> str:
    """A number with two digits where it is small, and all of its whole ones."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def describe(record: Mapping[str, Any]) -> str:
    """A record of metrics.jsonl in a few words; what is not known is left out."""
    return " · ".join(words_of(record).values())


def words_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The words of `describe`, by the name of what they tell."""
    if record["kind"] != "train":
        return {"text": _described(record)}
    forms: dict[str, Callable[[Any], str]] = {
        "epoch": "epoch {:.2f}".format,
        "loss": "loss {:.4g}".format,
        "learning_rate": "lr {:.3g}".format,
        "examples_per_second": lambda rate: f"{digits(rate)} examples/s",
        "ms_per_step": _per_step,
        "data_wait": "{:.0%} waiting for data".format,
        "mfu": "{:.1%} of peak".format,
        "peak_memory_bytes": lambda size: f"{size / 2**30:.2f} GiB",
    }
    return {
        name: form(record[name])
        for name, form in forms.items()
        if isinstance(record.get(name), int | float)
    }


def _per_step(ms: float) -> str:
    return f"{ms:.4g} ms/step" if ms < 10_000 else f"{digits(ms / 1000)} s/step"


def _described(record: Mapping[str, Any]) -> str:
    """An evaluation, a look of the doctor or a refresh in words."""
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
            for name in (record["metric"], *record.get("controls", CONTROLS))
            if record.get(name) is not None
        }
        text = f"{record['protocol']} {values.pop(record['metric'], '–')}"
        beside = ", ".join(f"{name} {value}" for name, value in values.items())
        return f"{text} ({beside})" if beside else text
    said = {k: v for k, v in record.items() if k not in REFRESHED_WHERE}
    words = [f"{name} {value:.4g}" for name, value in said.items()]
    return " · ".join(["refresh", *words])
