"""The part of the page that says whether the network collapsed, and when."""

from collections.abc import Mapping, Sequence

from jax_ssl.report import charts, series, summary
from jax_ssl.report.inputs import Record, ReportInputs
from jax_ssl.report.markup import Picture, absent, bullets, figure, text
from jax_ssl.report.quantities import is_number, plural
from jax_ssl.report.series import Curve
from jax_ssl.report.theme import DARK, LIGHT

SPACES = ("representation", "embedding")
# Sign, title and the level to compare with.
SIGNS: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("std", "Spread of unit vectors", {"even": 1.0, "one point": 0.0}),
    ("rank", "Effective rank (RankMe)", {}),
    ("directions", "Directions that share the variance", {"a line": 1.0}),
    ("alignment", "Alignment: squared distance of two views", {"collapsed": 0.0}),
    ("uniformity", "Uniformity: lower is more even", {"collapsed": 0.0}),
)
ENTROPIES = {
    "teacher_entropy": "teacher",
    "code_entropy": "codes",
    "prototype_entropy": "mean code",
}


def health(inputs: ReportInputs) -> tuple[str, tuple[Picture, ...]]:
    """HTML of the part, and its pictures; a sentence where nobody has looked."""
    records = series.of_kind(inputs.metrics, "doctor")
    if not records:
        general = "Nobody has looked for collapse (run.doctor)."
        return absent(inputs.absent.get("health", general)), ()
    drawn = [
        _chart(f"health_{sign}", title, _by_space(records, sign), levels)
        for sign, title, levels in SIGNS
    ]
    entropies = {
        spoken: found
        for name, spoken in ENTROPIES.items()
        if len((found := series.curve(records, name)).x)
    }
    drawn.append(_chart("health_entropy", "Entropies, nats", entropies, {}))
    drawn.append(_chance(inputs, records))
    pictures = tuple(picture for picture in drawn if picture is not None)
    html = _verdict(records)
    html += f'<div class="panels">{"".join(map(figure, pictures))}</div>'
    return html + _note(records), pictures


def _verdict(records: Sequence[Record]) -> str:
    said = summary.diagnoses(records)
    if said:
        head = "1 diagnosis" if len(said) == 1 else f"{len(said)} diagnoses"
        return (
            f'<div class="warnings" role="note"><strong>{head}</strong>'
            f"{bullets(said)}</div>"
        )
    last = records[-1]
    where = f"{'the last ' if len(records) > 1 else ''}at step {last['step']:,}"
    return (
        f'<p class="healthy">No sign of collapse in {plural(len(records), "look")}, '
        f"{text(where)}.</p>"
    )


def _by_space(records: Sequence[Record], sign: str) -> dict[str, Curve]:
    curves = {space: series.curve(records, f"{space}_{sign}") for space in SPACES}
    return {space: found for space, found in curves.items() if len(found.x)}


def _chance(inputs: ReportInputs, records: Sequence[Record]) -> Picture | None:
    chance = records[-1].get("chance")
    if chance is None or not is_number(chance):
        return None
    loss = series.curve(series.of_kind(inputs.metrics, "train"), "loss")
    curves = {"loss": loss} if len(loss.x) else {}
    return _chart(
        "health_chance", "Loss beside chance", curves, {"chance": float(chance)}
    )


def _chart(
    name: str, title: str, curves: Mapping[str, Curve], levels: Mapping[str, float]
) -> Picture | None:
    if not curves:
        return None
    light, dark = (
        charts.curves_chart(theme, title, curves, "step", levels)
        for theme in (LIGHT, DARK)
    )
    alt = f"{title} of {' and '.join(curves)}, over steps"
    return Picture(name, light, dark, alt)


def _note(records: Sequence[Record]) -> str:
    sizes = " and ".join(
        f"{space}s of {records[-1][f'{space}_dim']:.0f} numbers"
        for space in SPACES
        if is_number(records[-1].get(f"{space}_dim"))
    )
    return (
        f'<p class="note">{text(sizes.capitalize())}, of the same training images at '
        "every look. Step 0 is the untrained network, whose batch norm has no "
        "statistics yet. A collapse is a spread that falls to 0, or variance in a "
        "single direction; low rank of an embedding alone is no harm.</p>"
    )
