"""The doctor names collapses, once, and keeps quiet about what is only low."""

import logging
import math
from types import SimpleNamespace

import numpy as np
import optax
import pytest

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.train.doctor import WARM_UP, CollapseError, Doctor, Facts, alike, diagnose
from jax_ssl.train.loop import Evaluation
from tests.cases import METHODS_UNDER_TEST
from tests.collapsing import COLLAPSING
from tests.looks import names, watched
from tests.train.test_loop import Recorder, run

FACTS = Facts(batch_size=256, chance=math.log(4096), num_prototypes=4096)
HEALTHY = {
    "loss": 6.0,
    **{
        f"{space}_{sign}": value
        for space in ("representation", "embedding")
        for sign, value in {
            "std": 0.8,
            "rank": 60.0,
            "directions": 30.0,
            "alignment": 0.3,
            "uniformity": -3.0,
            "length": 2.0,
            "dim": 128.0,
        }.items()
    },
}


def history(*changes):
    """Records 100 steps apart; each differs from a healthy one by a dict."""
    return [{**HEALTHY, "step": 100 * i, **change} for i, change in enumerate(changes)]


def found(*changes, facts=FACTS):
    return [each.name for each in diagnose(history(*changes), facts)]


POINT = {"embedding_std": 0.02, "embedding_rank": 1.2}
SIGNS = {
    "point: embedding": POINT,
    "point: representation": {"representation_std": 0.001},
    "line: embedding": {"embedding_directions": 1.05},
    "line: representation": {"representation_directions": 1.0},
    "vanished: embedding": {"embedding_length": 0.01},
    "uniform: teacher": {"teacher_entropy": math.log(4096) - 0.01},
    "uniform: code": {"code_entropy": math.log(4096) - 1e-4},
    "one-hot: teacher": {"teacher_entropy": 1e-3, "loss": 0.01},
    "prototypes": {"prototype_entropy": math.log(3)},
    "chance": {"loss": math.log(4096) + 1e-3},
}


@pytest.mark.parametrize("name", SIGNS)
def test_each_sign_has_its_name_when_it_lasts(name):
    assert found({}, {}, {}) == []
    assert found({}, {}, SIGNS[name], SIGNS[name]) == [name]


@pytest.mark.parametrize("name", SIGNS)
def test_a_dip_is_no_diagnosis(name):
    assert found({}, {}, SIGNS[name]) == []
    assert found({}, SIGNS[name], {}, SIGNS[name]) == []
    assert found({}, SIGNS[name], SIGNS[name], {}) == []


def test_nothing_is_said_before_the_warm_up():
    changes = ({}, POINT, POINT)
    records = history(*changes)
    assert [each.name for each in diagnose(records, FACTS)] == ["point: embedding"]
    young = [{**r, "step": r["step"] * (WARM_UP - 1) // 100} for r in records]
    assert diagnose(young, FACTS) == []
    assert diagnose(records[:1], FACTS) == []


def test_what_was_low_from_the_start_is_not_called_collapsed():
    # An untrained class token hardly depends on the image.
    low = {"representation_std": 0.01, "embedding_std": 0.03}
    assert found(low, low, low, low) == []


def test_directions_of_nothing_are_not_judged():
    nothing = POINT | SIGNS["vanished: embedding"] | SIGNS["line: embedding"]
    assert found({}, nothing, nothing) == ["vanished: embedding"]


def test_few_dimensions_are_not_judged_by_their_number():
    small = {"embedding_dim": 3.0, "embedding_directions": 1.1}
    assert found({}, {}, small, small) == []


def test_a_teacher_that_is_sure_of_many_prototypes_is_well():
    sure = {"teacher_entropy": 1e-3, "loss": 0.01}
    assert found({}, sure, sure) == ["one-hot: teacher"]
    many = {**sure, "prototype_entropy": math.log(200)}
    assert found({}, many, many) == []


def test_without_facts_there_is_nothing_to_compare_with():
    known_no_more = Facts(batch_size=256)
    for name in ("uniform: teacher", "one-hot: teacher", "prototypes", "chance"):
        assert found({}, SIGNS[name], SIGNS[name], facts=known_no_more) == []


def test_a_diagnosis_has_numbers_cause_and_remedy():
    stuck = SIGNS["uniform: teacher"] | SIGNS["chance"]
    uniform, chance = map(str, diagnose(history({}, stuck, stuck), FACTS))
    assert "entropy 8.308 of ln 4096 = 8.318" in uniform
    assert "temperature" in uniform
    assert "stuck at 8.319, by chance it is 8.318" in chance
    point = str(diagnose(history({}, POINT, POINT), FACTS)[0])
    assert (
        "one point (spread 0.02 of an even one's 1, after 0.8; RankMe 1.2 of 128)"
        in point
    )


def signs_of(changes):
    """A doctor whose looks see `changes` one after the other."""
    records = iter(history(*changes))
    return lambda train: {k: v for k, v in next(records).items() if k != "step"}


def looks(doctor, count, start=0):
    return [
        record
        for i in range(start, count)
        for record in doctor.run(SimpleNamespace(step=100 * i), {"loss": 6.0})
    ]


def test_a_warning_comes_once_and_again_only_for_news(caplog):
    sick = SIGNS["point: representation"]
    changes = ({}, POINT, POINT, POINT, POINT | sick, POINT | sick, POINT | sick)
    doctor = Doctor(signs_of(changes), FACTS)
    with caplog.at_level(logging.WARNING):
        records = looks(doctor, len(changes))
    assert [r.message.split(":")[0] for r in caplog.records] == ["step 200", "step 500"]
    assert [len(record["diagnoses"]) for record in records] == [0, 0, 1, 1, 1, 2, 2]
    assert {"kind", "step", "loss", "chance", "embedding_std"} <= set(records[0])


def test_a_continued_run_remembers(caplog):
    changes = ({}, POINT, POINT, POINT)
    before = looks(Doctor(signs_of(changes), FACTS), 3)
    assert names(before) == ["point: embedding"]
    for past, said in ((before[:2], 1), (before, 0)):
        doctor = Doctor(signs_of((POINT,)), FACTS, history=past)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert names(looks(doctor, 4, start=3)) == ["point: embedding"]
        assert len(caplog.records) == said


def test_stopping_comes_after_the_record():
    changes = ({}, POINT, POINT)
    doctor = Doctor(signs_of(changes), FACTS, stop=True)
    looks(doctor, 2)
    look = doctor.run(SimpleNamespace(step=200), {"loss": 6.0})
    assert [each["name"] for each in next(look)["diagnoses"]] == ["point: embedding"]
    with pytest.raises(
        CollapseError, match=r"step 200: the embeddings .* is kept"
    ) as e:
        next(look)
    assert e.value.step == 200


def test_a_collapsed_state_is_not_saved(tmp_path):
    changes = ({}, {}, POINT, POINT, POINT)
    doctor = Doctor(signs_of(changes), FACTS, stop=True)
    recorder = Recorder()
    with open_checkpoints(tmp_path, keep=9) as kept:
        with pytest.raises(CollapseError) as caught:
            run(
                checkpoints=kept,
                recorder=recorder,
                num_steps=500,
                log_every=50,
                checkpoint_every=100,
                evaluations=[Evaluation(100, doctor.run, guards=True)],
            )
        saved = kept.steps()
    assert caught.value.step == 400
    assert saved == [100, 200, 300]
    assert [step for step, _ in recorder.evaluations] == [100, 200, 300, 400]
    assert recorder.evaluations[-1][1]["diagnoses"]


# A collapse to a point and one among prototypes.
BY_DEFAULT = "vicreg, no variance term", "dino, no centring"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in BY_DEFAULT else pytest.mark.slow)
        for name in COLLAPSING
    ],
)
def test_an_induced_collapse_is_named_within_200_steps(name):
    broken = COLLAPSING[name]
    tx = optax.sgd(broken.learning_rate, momentum=0.9)
    _, records = watched(broken.build(), tx, num_prototypes=broken.num_prototypes)
    assert broken.expected in names(records)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("byol-group-norm", marks=pytest.mark.slow),
        "simsiam",
        pytest.param("vicreg", marks=pytest.mark.slow),
    ],
)
def test_whole_the_same_methods_are_well(name):
    case = METHODS_UNDER_TEST[name]
    tx = optax.sgd(case.learning_rate, momentum=0.9)
    assert names(watched(case.build(), tx)[1]) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_examples_that_are_all_alike_are_named(rng, dtype):
    top = 255 if dtype == np.uint8 else 1
    images = (rng.random((5, 4, 4, 3)) * top).astype(dtype)
    assert alike({"image": images}) == []
    copies = np.repeat(images[:1], 5, axis=0)
    (found,) = alike({"image": copies, "other": images})
    assert found.name == "alike: image"
