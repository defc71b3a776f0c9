"""What the doctor's records say: did the network collapse, and when."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax_ssl.report import series
from jax_ssl.report.blocks import Block, Curves, Text
from jax_ssl.report.inputs import Record, ReportInputs
from jax_ssl.report.quantities import is_number, plural

Names = Mapping[str, str]

SPACES = ("representation", "embedding")
# Sign: title, and its value in a collapse.
SIGNS = {
    "std": ("Spread of unit vectors", 0.0),
    "rank": ("Effective rank (RankMe)", 1.0),
    "directions": ("Directions that share the variance", 1.0),
    "alignment": ("Alignment: squared distance of two views", 0.0),
    "uniformity": ("Uniformity: lower is more even", 0.0),
}
GOOD = {
    "std": "Good is a steady value well above 0: 1 is spread evenly in all directions, "
    "0 gives every image one answer (Chen and He, arXiv:2011.10566, section 4.1).",
    "rank": "Higher is better between runs alike: it counts the directions in use, up "
    "to the number of dimensions or, if that is smaller, of images looked at (Garrido "
    "et al., arXiv:2210.02885).",
    "directions": "Good is any number well above 1, where all images lie on a line.",
    "alignment": "Lower is better as long as uniformity is low too, for a collapse is "
    "perfectly aligned (Wang and Isola, arXiv:2005.10242).",
    "uniformity": "Lower is better: 0 is one point, and about −4 is an even spread "
    "over the sphere (Wang and Isola, arXiv:2005.10242).",
}
ENTROPIES = {
    "teacher_entropy": "teacher",
    "code_entropy": "codes",
    "prototype_entropy": "mean code",
}


def health(inputs: ReportInputs) -> list[Block]:
    """The verdict, the signs as curves, and how they were taken."""
    records = inputs.of_kind("doctor")
    if not records:
        return ["Nobody has looked for collapse (doctor)."]
    charts = []
    for sign, (title, collapsed) in SIGNS.items():
        keys = {f"{space}_{sign}": space for space in SPACES}
        look = {"levels": {"collapsed": collapsed}, "caption": GOOD[sign]}
        charts.append(_chart(records, sign, title, keys, **look))
    charts.append(_chart(records, "entropy", "Entropies, nats", ENTROPIES))
    found, last = diagnoses(inputs), records[-1]
    verdict = Text(found, "warning", plural(len(found), "diagnosis"))
    if not found:
        said = (
            f"No sign of collapse in {plural(len(records), 'look')}, the last at step "
        )
        verdict = Text([f"{said}{last['step']:,}."], "good")
    if is_number(last.get("chance")):
        train, look = inputs.of_kind("train"), {"levels": {"chance": last["chance"]}}
        chance = _chart(train, "chance", "Loss beside chance", {"loss": "loss"}, **look)
        charts.append(chance)
    dims = [(space, last.get(f"{space}_dim")) for space in SPACES]
    sizes = [f"{space}s of {dim:.0f} numbers" for space, dim in dims if is_number(dim)]
    how = (
        f"{' and '.join(sizes).capitalize()}, of the same training images at every "
        "look. Step 0 is the untrained network, whose batch norm has no statistics "
        "yet. Low rank of an embedding alone is no harm."
    )
    return [verdict, *(c for c in charts if c.curves), Text([how])]


def diagnoses(inputs: ReportInputs) -> list[str]:
    """A sentence for everything that was found, with the steps, in order."""
    records = inputs.of_kind("doctor")
    found: dict[str, tuple[int, Record, Record]] = {}
    for record in records:
        for each in record.get("diagnoses") or ():
            first = found.get(each["name"], (record["step"], record, each))[0]
            found[each["name"]] = (first, record, each)
    said = []
    for first, record, each in found.values():
        until = f"{record['step']:,}, and not after"
        if record["step"] == records[-1]["step"]:
            until = f"the last look, at {record['step']:,}"
        what = f"{each['evidence']}: {each['cause']}. {each['remedy']}."
        said.append(f"From step {first:,} to {until}: {what}")
    return said


def _chart(
    records: Sequence[Record], name: str, title: str, keys: Names, **more: Any
) -> Curves:
    """A chart of the keys that records have; `keys` gives their curves names."""
    found = {said: series.curve(records, key) for key, said in keys.items()}
    curves = {said: curve for said, curve in found.items() if len(curve.x)}
    return Curves(f"health_{name}", title, curves, **more)
