"""The collapse doctor: what a run's vital signs mean, while it can still be stopped.

A network that gives every image the same answer makes many losses small, so that the
loss alone cannot tell. `diagnose` judges a history of signs (`evaluate.vitals`) and of
the method's own metrics; `Doctor` does so during a run.

A sign is bad if it is so in two records running, so that a dip passes: BYOL's spread
fell to a sixth in the first 20 steps of a healthy run, and rose again. Thresholds are
relative, to the isotropic spread, to the best record, to chance or to ln K; each stands
between what healthy and broken runs of every method showed (experiments/collapse).
"""

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jax_ssl.core.state import TrainState

log = logging.getLogger(__name__)

Record = dict[str, Any]

KIND = "doctor"
# Records before this step are only compared with: statistics of batch norm begin at
# mean 0 and variance 1, and need some 50 steps to mean anything.
WARM_UP = 50
# Of the isotropic spread, and of the best record's. Healthy: at least 0.10 and 0.16;
# broken: at most 0.03 and 0.05.
POINT, POINT_OF_BEST = 0.05, 0.1
# Directions that share the variance. Healthy: 1.3 in passing and 2 at last, of 8;
# broken: below 1.1. Not judged in fewer than `FEW_DIMENSIONS` dimensions.
LINE, FEW_DIMENSIONS = 1.2, 8
# Share of the best record's length; with it the directions are but rounding.
VANISHED = 0.05
# Relative distance from the loss by chance. Healthy: 0.006 and falling; broken: 1e-4.
AT_CHANCE = 0.002
# Shares of ln K from the top and from the bottom, and of the loss by chance. Healthy:
# 0.05, 0.03 and 0.07 (64 images learned by heart); broken: 3e-5, 0.001 and 0.03.
UNIFORM, ONE_HOT, ONE_HOT_LOSS = 0.005, 0.01, 0.05
# Prototypes in use, exp(entropy), as a share of those that a batch can use.
FEW_PROTOTYPES = 0.05

SPACES = ("embedding", "representation")
ENTROPIES = {"teacher_entropy": "teacher", "code_entropy": "code"}
# By the first word of a diagnosis: what usually does this, and what to try.
MEANING = {
    "point": (
        "the loss can be had by giving all images one answer",
        "Check what prevents it: the predictor, the stopped gradient, the teacher's "
        "momentum, negatives, variance terms, centring; else lower the learning rate",
    ),
    "line": (
        "they lie on a line or in two heaps, which is dimensional collapse",
        "Check that the gradient is stopped where the paper stops it and that terms "
        "against redundancy are on; a lower learning rate or weight decay may help",
    ),
    "vanished": (
        "a loss that reads their length, such as VICReg's, falls as they shrink",
        "Raise the weight of the variance term, or lower the weight decay",
    ),
    "uniform": (
        "centring or equal use without sharpening gives every image all prototypes "
        "alike",
        "Lower the teacher's temperature, or epsilon of Sinkhorn's; check the centre; "
        "freeze the prototypes for longer",
    ),
    "one-hot": (
        "sharpening without centring gives all images the same few prototypes",
        "Check that the centre moves, or raise the teacher's temperature",
    ),
    "prototypes": (
        "most clusters are empty, and the rest hold everything",
        "Check the equal partition (Sinkhorn's epsilon and iterations) or the "
        "reassignment of empty clusters",
    ),
    "chance": (
        "nothing is told apart, whether embeddings, temperature or views hide it",
        "Look at the views of the report; try a longer warm-up, or another learning "
        "rate or temperature",
    ),
}


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a run.

    Attributes:
        name: one word, and of which space, such as "point: embedding".
        evidence: the numbers.
        cause: what usually does this.
        remedy: what to try.
    """

    name: str
    evidence: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.evidence}: {self.cause}. {self.remedy}."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What the signs of a run are measured against.

    Attributes:
        batch_size: images a step.
        chance: the loss of a network that tells nothing apart, if there is one.
        num_prototypes: K, if the method has prototypes.
    """

    batch_size: int
    chance: float | None = None
    num_prototypes: int | None = None


class CollapseError(ArithmeticError):
    """The run has collapsed, and was asked to stop then.

    Attributes:
        step: completed steps when it was found.
        found: the diagnoses.
    """

    def __init__(self, step: int, found: Sequence[Diagnosis]) -> None:
        super().__init__(
            f"step {step}: {' '.join(map(str, found))} The last checkpoint before it "
            "is kept; doctor.stop = False would have gone on."
        )
        self.step, self.found = step, tuple(found)


def diagnose(history: Sequence[Record], facts: Facts) -> list[Diagnosis]:
    """What is wrong with the last record, and was with the one before it.

    Args:
        history: records in order: "step", the signs of `evaluate.vitals` with the name
            of their space in front, and means of the method's metrics, such as "loss"
            and "teacher_entropy". The first may be of step 0, the untrained network.
        facts: of the run.

    Returns:
        Diagnoses with different names; [] for a healthy run, or one too young.
    """
    if len(history) < 2 or history[-2]["step"] < WARM_UP:
        return []
    before = _symptoms(history[:-1], facts)
    return [
        Diagnosis(name, evidence, *MEANING[name.split(":")[0]])
        for name, evidence in _symptoms(history, facts).items()
        if name in before
    ]


def _symptoms(history: Sequence[Record], facts: Facts) -> dict[str, str]:
    """What looks wrong with the last record: the evidence by the diagnosis' name."""
    last, gone = history[-1], _gone(history)
    # Of a point, what is left of the variance is rounding.
    found = gone or dict(_lines(last))
    found |= dict(_assignments(last, facts))
    loss, chance = last.get("loss", math.inf), facts.chance
    if chance and not gone and abs(loss - chance) <= AT_CHANCE * abs(chance):
        found["chance"] = (
            f"the loss is stuck at {loss:.4g}, by chance it is {chance:.4g}"
        )
    return found


def _gone(history: Sequence[Record]) -> dict[str, str]:
    found = {}
    for space in SPACES:
        last, best = _last_and_best(history, f"{space}_std")
        if last < POINT and last < POINT_OF_BEST * best:
            dim, rank = (history[-1][f"{space}_{name}"] for name in ("dim", "rank"))
            found[f"point: {space}"] = (
                f"the {space}s are one point (spread {last:.2g} of an even one's 1, "
                f"after {best:.2g}; RankMe {rank:.3g} of {dim:.0f})"
            )
    last, best = _last_and_best(history, "embedding_length")
    if last < VANISHED * best:
        # Vectors of no length have no direction either, which is not what is wrong.
        found.pop("point: embedding", None)
        found["vanished: embedding"] = (
            f"the embeddings shrink to nothing (length {last:.2g}, after {best:.2g})"
        )
    return found


def _lines(record: Record) -> Iterator[tuple[str, str]]:
    for space in SPACES:
        directions = record.get(f"{space}_directions", math.inf)
        dim = record.get(f"{space}_dim", 0)
        if directions < LINE and dim >= FEW_DIMENSIONS:
            evidence = f"the {space}s vary in {directions:.2f} directions of {dim:.0f}"
            yield f"line: {space}", evidence


def _assignments(record: Record, facts: Facts) -> Iterator[tuple[str, str]]:
    count = facts.num_prototypes or 0
    if count < 2:
        return
    most = math.log(count)
    limit = f"ln {count} = {most:.4g}"
    used = record.get("prototype_entropy")
    # Whether the images of a batch are known to share more than a few prototypes.
    few = max(2.0, FEW_PROTOTYPES * min(count, facts.batch_size))
    many = used is not None and math.exp(used) >= few
    loss = record.get("loss", math.inf)
    trivial = facts.chance is not None and loss < ONE_HOT_LOSS * facts.chance
    for name, whose in ENTROPIES.items():
        entropy = record.get(name, math.nan)  # Neither high nor low.
        if entropy > (1 - UNIFORM) * most:
            evidence = f"the {whose} is uniform (entropy {entropy:.4g} of {limit})"
            yield f"uniform: {whose}", evidence
        if entropy < ONE_HOT * most and trivial and not many:
            evidence = f"the {whose} is one-hot (entropy {entropy:.2g} of {limit})"
            evidence += f" and the loss {loss:.2g} asks nothing more"
            yield f"one-hot: {whose}", evidence
    if used is not None and not many:
        yield "prototypes", f"prototypes: {math.exp(used):.3g} of {count} in use"


def _last_and_best(history: Sequence[Record], name: str) -> tuple[float, float]:
    """The last value of a sign, infinity if it is not known, and the largest one."""
    values = [record[name] for record in history if record.get(name) is not None]
    if history[-1].get(name) is None:
        return math.inf, 0.0
    return values[-1], max(values)


def alike(examples: Mapping[str, np.ndarray]) -> list[Diagnosis]:
    """Whether examples are all the same, so that there is nothing to learn.

    Args:
        examples: fields [N, ...] that the views are made of, uint8 or float.

    Returns:
        A diagnosis for each field in which no example is further than half a grey level
        from the first one, on average.
    """
    found = []
    for name, values in examples.items():
        near = 0.5 if values.dtype == np.uint8 else 0.5 / 255
        first = values[0].astype(np.float32)
        far = max(float(np.abs(value - first).mean()) for value in values)
        if len(values) > 1 and far < near:
            evidence = f"the field {name!r} of all {len(values)} examples is alike"
            cause = "nothing can be learned from copies, whatever the loss says"
            remedy = (
                "Look at the images of the report; files of more bits or bands than "
                "were read come out black, and data.path may name copies"
            )
            found.append(Diagnosis(f"alike: {name}", evidence, cause, remedy))
    return found


@dataclasses.dataclass
class Doctor:
    """Looks at a run now and then; `run` is that of a `train.loop.Evaluation`.

    Attributes:
        measure: the signs of a state, by name.
        facts: of the run.
        stop: whether a run in which something is found shall end.
        history: records so far, with those of earlier starts of the run.
        at_start: what is wrong before the first step.
    """

    measure: Callable[[TrainState], Mapping[str, float]]
    facts: Facts
    stop: bool = False
    history: list[Record] = dataclasses.field(default_factory=list)
    at_start: Sequence[Diagnosis] = ()

    def run(self, train: TrainState, means: Mapping[str, float]) -> Iterator[Record]:
        """Yields the record of one look, and warns of what is found for the first time.

        Raises:
            CollapseError: after it, if something is found and the run shall stop.
        """
        step = int(train.step)
        record: Record = {"kind": KIND, "step": step, **self.measure(train)}
        for name, value in means.items():
            if name in ("loss", *ENTROPIES) or "protot" in name:
                record[name] = value
        if self.facts.chance is not None:
            record["chance"] = self.facts.chance
        found = diagnose([*self.history, record], self.facts)
        if step == 0:
            found += self.at_start
        past = [each for record in self.history for each in record.get("diagnoses", ())]
        said = {each["name"] for each in past}
        for diagnosis in found:
            # The other processes have found it too.
            if diagnosis.name not in said and jax.process_index() == 0:
                log.warning("step %d: %s", step, diagnosis)
        record["diagnoses"] = [dataclasses.asdict(each) for each in found]
        self.history.append(record)
        yield record
        if found and self.stop:
            raise CollapseError(step, found)
