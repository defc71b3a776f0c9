"""What the page says of a run's health, and of its time."""

import math

import pytest

from jax_ssl.report.blocks import Curves, Table, Text
from jax_ssl.report.health import diagnoses, health
from jax_ssl.report.inputs import ReportInputs
from jax_ssl.report.sections import sections
from tests.report.inputs import look, metrics


def part(*records):
    """The blocks: the verdict, the charts by name, and the note."""
    found = health(ReportInputs(title="t", metrics=[*metrics(), *records]))
    charts = {block.name: block for block in found if isinstance(block, Curves)}
    return found[0], charts, found[-1]


def test_a_healthy_run_is_called_so_and_drawn():
    verdict, charts, note = part(look(0), look(100), look(200))
    assert verdict.look == "good"
    assert verdict.sentences == [
        "No sign of collapse in 3 looks, the last at step 200."
    ]
    assert "embeddings of 16 numbers" in note.sentences[0]
    signs = ("std", "rank", "directions", "alignment", "uniformity")
    assert list(charts) == [f"health_{sign}" for sign in signs]


@pytest.mark.parametrize(
    ("sign", "collapsed", "good", "paper"),
    [
        ("std", 0, "well above 0", "2011.10566"),
        ("rank", 1, "Higher is better", "2210.02885"),
        ("uniformity", 0, "Lower is better", "2005.10242"),
    ],
)
def test_a_sign_says_what_is_good_and_who_says_so(sign, collapsed, good, paper):
    chart = part(look(0))[1][f"health_{sign}"]
    assert good in chart.caption
    assert f"arXiv:{paper}" in chart.caption
    assert chart.levels == {"collapsed": collapsed}


def test_a_diagnosis_says_from_when_to_when():
    records = [
        look(0),
        look(100, "line"),
        look(200, "line", "point"),
        look(300, "point"),
    ]
    inputs = ReportInputs(title="t", metrics=records)
    expected = [
        "From step 100 to 200, and not after: <line> 0.1: why. do.",
        "From step 200 to the last look, at 300: <point> 0.1: why. do.",
    ]
    assert diagnoses(inputs) == expected
    assert part(*records)[0] == Text(expected, "warning", "2 diagnoses")
    top = sections(inputs, 0)[0].blocks
    said = "The network may have collapsed: 2 under Health, below."
    assert top[0] == Text([said], "warning", "1 warning")
    assert ("Health", "2 diagnoses", "4 looks") in top[1].figures


def test_entropies_and_chance_have_their_own_chart():
    known = {"teacher_entropy": 2.0, "chance": math.log(16)}
    _, charts, _ = part(look(0, chance=math.log(16)), look(100, **known))
    assert list(charts)[-2:] == ["health_entropy", "health_chance"]
    assert charts["health_chance"].levels == {"chance": math.log(16)}
    assert list(charts["health_entropy"].curves) == ["teacher"]


def test_without_embeddings_and_with_broken_numbers():
    record = {k: v for k, v in look(100).items() if not k.startswith("embedding")}
    verdict, charts, _ = part({**record, "representation_rank": float("nan")})
    assert verdict.look == "good"
    assert list(charts["health_std"].curves) == ["representation"]


def test_nobody_has_looked():
    inputs = ReportInputs(title="t", metrics=metrics())
    assert health(inputs) == ["Nobody has looked for collapse (doctor)."]


def timed(**more):
    record = {"kind": "train", "step": 10, "seconds": 20.0, "ms_per_step": 900.0}
    inputs = ReportInputs(
        title="t",
        metrics=[{**record, "data_wait": 0.0, **more}],
        environment={"cores": 2},
    )
    return next(s.blocks for s in sections(inputs, 0) if s.title == "Time")


def test_the_time_table_says_what_the_readers_could_do():
    table, note = timed(examples_per_second=40.0, read_ms_per_example=2.5)
    assert isinstance(table, Table)
    assert [cell.text for cell in table.rows[0]] == ["training steps", "9.0 s, 45.00 %"]
    said = note.sentences[0]
    assert "2.5 ms an example" in said
    assert "400 per second on an idle core and 800 on all 2 cores" in said
    assert "training used 40 per second" in said


def test_a_resident_run_says_nothing_of_reading():
    assert len(timed(examples_per_second=40.0)) == 1
