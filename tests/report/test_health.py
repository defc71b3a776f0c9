"""What the page says of a run's health."""

import math

from jax_ssl.report.health import health
from jax_ssl.report.inputs import ReportInputs
from jax_ssl.report.summary import diagnoses, warnings
from tests.report.inputs import metrics
from tests.report.reading import Page


def look(step, *found, **signs):
    """A doctor's record; invented."""
    spaces = {
        f"{space}_{name}": value
        for space in ("representation", "embedding")
        for name, value in {
            "std": 0.5,
            "rank": 7.0,
            "directions": 3.0,
            "alignment": 0.2,
            "uniformity": -1.5,
            "dim": 16.0,
        }.items()
    }
    said = [
        {"name": n, "evidence": f"<{n}> 0.1", "cause": "why", "remedy": "do"}
        for n in found
    ]
    return {"kind": "doctor", "step": step, **spaces, **signs, "diagnoses": said}


def part(*records):
    html, pictures = health(ReportInputs(title="t", metrics=[*metrics(), *records]))
    return Page(f"<body>{html}</body>").text, [picture.name for picture in pictures]


def test_a_healthy_run_is_called_so_and_drawn():
    text, pictures = part(look(0), look(100), look(200))
    assert "No sign of collapse in 3 looks, the last at step 200." in text
    assert "embeddings of 16 numbers" in text
    signs = ("std", "rank", "directions", "alignment", "uniformity")
    assert pictures == [f"health_{sign}" for sign in signs]


def test_a_diagnosis_says_from_when_to_when():
    records = [
        look(0),
        look(100, "line"),
        look(200, "line", "point"),
        look(300, "point"),
    ]
    assert diagnoses(records) == [
        "From step 100 to 200, and not after: <line> 0.1: why. do.",
        "From step 200 to the last look, at 300: <point> 0.1: why. do.",
    ]
    text, _ = part(*records)
    assert "2 diagnoses" in text
    assert "<point> 0.1" in text  # Escaped, or it would be an element.
    top = warnings(ReportInputs(title="t", metrics=records))
    assert top == ["The network may have collapsed: 2 under Health, below."]


def test_entropies_and_chance_have_their_own_chart():
    known = {"teacher_entropy": 2.0, "chance": math.log(16)}
    _, pictures = part(look(0, chance=math.log(16)), look(100, **known))
    assert pictures[-2:] == ["health_entropy", "health_chance"]


def test_without_embeddings_and_with_broken_numbers():
    record = {k: v for k, v in look(100).items() if not k.startswith("embedding")}
    text, pictures = part({**record, "representation_rank": float("nan")})
    assert "No sign of collapse in 1 look, at step 100." in text
    assert "health_std" in pictures


def test_nobody_has_looked():
    html, pictures = health(ReportInputs(title="t", metrics=metrics()))
    assert "Nobody has looked for collapse (run.doctor)." in html
    assert pictures == ()
